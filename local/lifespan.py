"""The lives of several ASGI applications as one."""

import asyncio
from collections.abc import Iterable

from local.asgi import Application, Message, Receive, Scope, Send


async def live(applications: Iterable[Application], receive: Receive, send: Send) -> None:
    """Start all applications, and end all of them, when a server says so.

    What one answers that failed is the answer of all.
    """
    lives = [_Life(application) for application in applications]
    ended = False
    while not ended:
        message = await receive()
        answers = await asyncio.gather(*(life.pass_on(message) for life in lives))
        failed = (answer for answer in answers if answer["type"].endswith(".failed"))
        await send(next(failed, {"type": f"{message['type']}.complete"}))
        ended = message["type"] == "lifespan.shutdown"


class _Life:
    """One application between its start and its end."""

    def __init__(self, application: Application) -> None:
        self._told: asyncio.Queue[Message] = asyncio.Queue()
        self._answered: asyncio.Queue[Message] = asyncio.Queue()
        scope: Scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}}
        self._running = asyncio.ensure_future(
            application(scope, self._told.get, self._answered.put)
        )

    async def pass_on(self, message: Message) -> Message:
        """The application's answer; one that is gone without an answer has failed."""
        self._told.put_nowait(message)
        answer = asyncio.ensure_future(self._answered.get())
        await asyncio.wait({answer, self._running}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done() and self._answered.empty():
            answer.cancel()
            return {"type": f"{message['type']}.failed", "message": "An application has ended."}
        return await answer
