"""Every model in turn, behind one fixture."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

import pytest

from parley.adapters.models.bedrock import BedrockModel, connect_to_bedrock
from parley.adapters.models.embedded import EmbeddedModel
from parley.adapters.models.openai_compatible import OpenAICompatibleModel
from parley.adapters.models.scripted import ScriptedModel
from parley.ports import Model
from tests.support import bedrock_server, llama, openai_server
from tests.support.llama import LlamaServer, llama_server
from tests.support.upstream import upstream


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
    params=["scripted", "embedded", "openai_compatible", "openai_compatible-llama_cpp", "bedrock"]
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


async def _llama_key() -> str:
    return llama.API_KEY
