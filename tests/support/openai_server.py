"""A model behind the wire of Chat Completions, as any compatible server would have it."""

import json
from contextlib import aclosing
from typing import Any

from parley.domain.conversations import Parameters, Role
from parley.domain.errors import ContextTooLong, ParleyError
from parley.domain.turns import (
    Completed,
    CompletionRequest,
    PromptMessage,
    TextDelta,
)
from parley.ports import Model
from tests.support.upstream import SSE, Exchange, Respond

DONE = b"data: [DONE]\n\n"


def event(payload: Any) -> bytes:
    return f"data: {json.dumps(payload, ensure_ascii=False)}\n\n".encode()


def chunk(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> bytes:
    """One chunk with one choice."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, **more}
    return event({"object": "chat.completion.chunk", "choices": [choice]})


def usage(prompt: int, completion: int, **details: Any) -> bytes:
    counted = {"prompt_tokens": prompt, "completion_tokens": completion, **details}
    return event({"object": "chat.completion.chunk", "choices": [], "usage": counted})


def serving(model: Model) -> Respond:
    """Answers with what the model says; its failures have the statuses that OpenAI gives them."""

    async def respond(exchange: Exchange) -> None:
        request = _asked(exchange.request.json)
        async with aclosing(model.complete(request)) as events:
            try:
                await anext(events)
            except ParleyError as error:
                code = error.code if isinstance(error, ContextTooLong) else None
                said = {"message": error.message, "param": error.param, "code": code}
                await exchange.answer(400, json.dumps({"error": said}).encode())
                return
            await exchange.begin(SSE)
            await exchange.send(chunk({"role": "assistant", "content": ""}))
            async for said_next in events:
                match said_next:
                    case TextDelta(text):
                        await exchange.send(chunk({"content": text}))
                    case Completed(reason, counted):
                        assert counted is not None
                        await exchange.send(chunk({}, reason))
                        await exchange.send(usage(counted.prompt_tokens, counted.completion_tokens))
        await exchange.send(DONE)
        await exchange.end()

    return respond


def _asked(body: dict[str, Any]) -> CompletionRequest:
    return CompletionRequest(
        model=body["model"],
        messages=tuple(
            PromptMessage(Role(message["role"]), message["content"]) for message in body["messages"]
        ),
        parameters=Parameters(
            temperature=body.get("temperature"),
            top_p=body.get("top_p"),
            max_tokens=body.get("max_tokens"),
            seed=body.get("seed"),
            stop=tuple(body.get("stop", ())),
        ),
    )
