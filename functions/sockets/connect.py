"""$connect: let a client into a chat, or say why not."""

from parley.bootstrap_live import live_chats
from parley.domain.errors import ParleyError
from parley.edge.socket import SocketEvent, refuse_visibly, socket_handler
from parley.services.live import Handshake

ROUTE = "$connect"


async def connect(event: SocketEvent) -> None:
    """Open a connection for `api_key`, `user_id`, `chat_id` and, after a break, `last_seq`."""
    handshake = Handshake(
        connection=event.connection,
        credential=event.credential,
        user=event.query.get("user_id"),
        chat=event.query.get("chat_id"),
        last_seen=event.query.get("last_seq"),
    )
    try:
        await live_chats().open(handshake)
    except ParleyError as error:
        await refuse_visibly(event, error)


handler = socket_handler(connect)
