"""Several applications start and end as one."""

import asyncio

import pytest

from local.asgi import Application, Message, Receive, Scope, Send
from local.lifespan import live

pytestmark = pytest.mark.anyio


def application(log: list[str], *, fails_at: str = "", ends_at: str = "") -> Application:
    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "lifespan"
        kind = ""
        while kind != "lifespan.shutdown":
            kind = (await receive())["type"]
            if kind == ends_at:
                return
            log.append(kind)
            outcome = "failed" if kind == fails_at else "complete"
            await send({"type": f"{kind}.{outcome}"})

    return run


async def outcome(*applications: Application) -> list[str]:
    told: asyncio.Queue[Message] = asyncio.Queue()
    for kind in ("startup", "shutdown"):
        told.put_nowait({"type": f"lifespan.{kind}"})
    answers: list[str] = []

    async def send(message: Message) -> None:
        answers.append(message["type"])

    await live(applications, told.get, send)
    return answers


async def test_all_are_started_and_ended() -> None:
    log: list[str] = []
    answers = await outcome(application(log), application(log))
    assert answers == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert log == ["lifespan.startup"] * 2 + ["lifespan.shutdown"] * 2


async def test_one_that_fails_fails_all() -> None:
    answers = await outcome(application([]), application([], fails_at="lifespan.startup"))
    assert answers[0] == "lifespan.startup.failed"


async def test_one_that_is_gone_has_failed() -> None:
    answers = await outcome(application([]), application([], ends_at="lifespan.shutdown"))
    assert answers == ["lifespan.startup.complete", "lifespan.shutdown.failed"]
