"""$default: take a message; its reply comes later, as it is made."""

from parley.bootstrap_live import live_chats
from parley.edge.socket import SocketEvent, as_domain_error, socket_handler

ROUTE = "$default"


async def receive(event: SocketEvent) -> None:
    """Make a message durable and have it answered; any error is an event to its sender."""
    try:
        await live_chats().receive(event.connection, event.text)
    except Exception as error:  # noqa: BLE001 - the connection stays, whatever failed
        await live_chats().apologize(event.connection, as_domain_error(error))


handler = socket_handler(receive)
