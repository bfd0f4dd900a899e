"""Every model in turn, behind one fixture."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

import pytest

from parley.adapters.models.bedrock import BedrockModel, connect_to_bedrock
from parley.adapters.models.embedded import EmbeddedModel
from parley.adapters.models.openai_compatible import OpenAICompatibleModel
from parley.adapters.models.registry import BackEnds
from parley.adapters.models.scripted import ScriptedModel
from parley.adapters.system import SystemClock
from parley.domain.routes import ModelRoute
from parley.ports import Model
from parley.services.routing import Routing
from tests.support import bedrock_server, llama, openai_server
from tests.support.llama import LlamaServer, llama_server
from tests.support.upstream import Exchange, upstream


@dataclass(frozen=True)
class Subject:
    """A model under test, and how to make it talk for longer than a test takes."""

    model: Model
    endless: str
    refuses: frozenset[str] = frozenset()
    """Fields of a request of which it refuses some values or all, by name."""


ENDLESS_SCRIPT = 'script: [{"text": "one two ", "repeat": 4000, "wait": 0.01}]'
ENDLESS_STORY = "Write a long story about bees."


@pytest.fixture(scope="session")
def embedded() -> EmbeddedModel:
    """The embedded model with its bundled file, loaded when the first test uses it."""
    return EmbeddedModel()


@pytest.fixture(scope="session")
def llama_cpp() -> LlamaServer:
    """The same file behind llama.cpp's own HTTP server."""
    return llama_server()


@pytest.fixture(
    params=[
        "scripted",
        "embedded",
        "openai_compatible",
        "openai_compatible-llama_cpp",
        "bedrock",
        "routed",
    ]
)
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    """Every adapter of the Model port; those of remote models before servers of their own."""
    match request.param:
        case "scripted":
            yield Subject(ScriptedModel(), ENDLESS_SCRIPT)
        case "embedded":
            yield Subject(
                request.getfixturevalue("embedded"),
                ENDLESS_STORY,
                refuses=frozenset({"tools", "response_format", "logprobs", "reasoning_effort"}),
            )
        case "openai_compatible":
            scripted = ScriptedModel()
            async with upstream(openai_server.serving(scripted)) as server:
                model = OpenAICompatibleModel(server.url, context_window=scripted.context_window)
                yield Subject(model, ENDLESS_SCRIPT)
                await model.aclose()
        case "openai_compatible-llama_cpp":
            model = OpenAICompatibleModel(
                request.getfixturevalue("llama_cpp").url,
                context_window=llama.CONTEXT_WINDOW,
                key=_llama_key,
                lacking=["tools"],
            )
            yield Subject(model, ENDLESS_STORY, refuses=frozenset({"tools"}))
            await model.aclose()
        case "bedrock":
            scripted = ScriptedModel()
            async with upstream(bedrock_server.serving(scripted)) as server:
                yield Subject(
                    BedrockModel(
                        context_window=scripted.context_window,
                        connect=partial(
                            connect_to_bedrock,
                            session=bedrock_server.SESSION,
                            endpoint_url=server.url,
                        ),
                    ),
                    ENDLESS_SCRIPT,
                    refuses=frozenset({"seed", "temperature", "logprobs"}),
                )
        case "routed":
            scripted = ScriptedModel()
            async with upstream(openai_server.serving(scripted)) as server, upstream(_down) as down:
                back_ends = BackEnds()
                first, second = (
                    ModelRoute(
                        "openai_compatible",
                        "any",
                        context_window=scripted.context_window,
                        base_url=each.url,
                    )
                    for each in (down, server)
                )
                routing = Routing(back_ends, SystemClock())
                yield Subject(routing.model((first, second)), ENDLESS_SCRIPT)
                for route in (first, second):
                    endpoint = back_ends.serving(route)
                    assert isinstance(endpoint, OpenAICompatibleModel)
                    await endpoint.aclose()


async def _down(exchange: Exchange) -> None:
    await exchange.answer(503, b"")


async def _llama_key() -> str:
    return llama.API_KEY
