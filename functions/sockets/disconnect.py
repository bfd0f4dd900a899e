"""$disconnect: forget a connection; its slot is free again."""

from parley.bootstrap_live import live_chats
from parley.edge.socket import SocketEvent, socket_handler

ROUTE = "$disconnect"


async def disconnect(event: SocketEvent) -> None:
    """Close a connection; this is best effort, and nothing depends on it."""
    await live_chats().close(event.connection)


handler = socket_handler(disconnect)
