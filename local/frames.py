"""WebSocket frames of the sizes that API Gateway allows."""

from typing import TYPE_CHECKING

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent
    from websockets.frames import Frame

MAX_FRAME_BYTES = 32 * 1024


class Frames(WebSocketsSansIOProtocol):
    """Takes frames of up to 32 KB, and sends longer messages in several of them."""

    def handle_text(self, event: "Frame") -> None:
        """Take the first frame of a text."""
        if self._fits(event):
            super().handle_text(event)

    def handle_bytes(self, event: "Frame") -> None:
        """Take the first frame of a message that isn't text."""
        if self._fits(event):
            super().handle_bytes(event)

    def handle_cont(self, event: "Frame") -> None:
        """Take another frame of a message."""
        if self._fits(event):
            super().handle_cont(event)

    async def send(self, message: "ASGISendEvent") -> None:
        """Send a message; a long text in several frames."""
        text = message.get("text") if message["type"] == "websocket.send" else None
        data = text.encode() if isinstance(text, str) else b""
        if len(data) <= MAX_FRAME_BYTES or self.close_sent or self.disconnected:
            await super().send(message)
            if message["type"] == "websocket.http.response.body":
                self.handshake_complete = True  # or uvicorn takes a refusal for an oversight
            return
        await self.writable.wait()
        pieces = [data[at : at + MAX_FRAME_BYTES] for at in range(0, len(data), MAX_FRAME_BYTES)]
        self.conn.send_text(pieces[0], fin=False)
        for piece in pieces[1:-1]:
            self.conn.send_continuation(piece, fin=False)
        self.conn.send_continuation(pieces[-1], fin=True)
        self.transport.write(b"".join(self.conn.data_to_send()))

    def _fits(self, frame: "Frame") -> bool:
        if len(frame.data) <= MAX_FRAME_BYTES:
            return True
        if not self.close_sent:
            self.conn.fail(CloseCode.MESSAGE_TOO_BIG, "Frame is too long")
            self.handle_parser_exception()
        return False
