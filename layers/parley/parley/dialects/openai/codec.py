"""Chat Completions to and from the core: a request becomes a prompt, events become chunks."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from parley.dialects.openai.errors import envelope
from parley.dialects.openai.schema import (
    AssistantMessage,
    Choice,
    CompletionBody,
    CompletionOut,
    InputMessage,
    ModelList,
    ModelOut,
    Sampling,
    UsageOut,
)
from parley.domain.conversations import FinishReason, Message, Parameters, Role, Usage
from parley.domain.errors import InvalidRequest
from parley.domain.tenants import CATCH_ALL, Tenant
from parley.domain.turns import Failed, Finished, PromptMessage, TextDelta
from parley.services.turns import Turn

DONE = b"data: [DONE]\n\n"

_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "audio": (),
    "frequency_penalty": (0,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "presence_penalty": (0,),
    "response_format": ({"type": "text"},),
    "store": (False,),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
    "web_search_options": (),
}
"""Parameters nothing behind the API can honour yet, with the values that ask for nothing."""


def prompt(body: CompletionBody) -> tuple[PromptMessage, ...]:
    """The messages to show the model.

    Raises:
        InvalidRequest: a parameter asks for what can't be done; it is named.
    """
    for name, value in (body.model_extra or {}).items():
        if name in _NEUTRAL and value is not None and value not in _NEUTRAL[name]:
            raise InvalidRequest(f"`{name}` is not supported by this model.", param=name)
    return tuple(PromptMessage(Role(message.role), _text(message)) for message in body.messages)


def parameters(body: Sampling) -> Parameters:
    """The sampling parameters; the newer name of the token limit wins over the older one."""
    stop = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    return Parameters(
        temperature=body.temperature,
        top_p=body.top_p,
        max_tokens=body.max_completion_tokens or body.max_tokens,
        seed=body.seed,
        stop=stop,
    )


def completion_id(reply: Message) -> str:
    """A completion's id as OpenAI's clients expect it to look."""
    return f"chatcmpl-{str(reply.id).replace('-', '')}"


def completion(reply: Message) -> CompletionOut:
    """A settled reply as a whole completion."""
    return CompletionOut(
        id=completion_id(reply),
        created=int(reply.created_at.timestamp()),
        model=reply.model or "",
        choices=[
            Choice(message=AssistantMessage(content=reply.text), finish_reason=why_ended(reply))
        ],
        usage=reply.usage and usage(reply.usage),
    )


def why_ended(reply: Message) -> FinishReason:
    """Why a finished reply ended; OpenAI has one word for a model and for a person who stops it."""
    return reply.finish_reason or FinishReason.STOP


def usage(counted: Usage) -> UsageOut:
    """Token counts."""
    return UsageOut(
        prompt_tokens=counted.prompt_tokens,
        completion_tokens=counted.completion_tokens,
        total_tokens=counted.total_tokens,
    )


async def chunks(
    turn: Turn,
    *,
    include_usage: bool,
    stream_id: str | None = None,
    extra: dict[str, Any] | None = None,
) -> AsyncGenerator[bytes, None]:
    """A turn's events as server-sent chunks, ended by `[DONE]`.

    A failed turn ends in an error object and without `[DONE]`: the SDKs raise on the one, and take
    the lack of the other for a good end unless they are told.

    Args:
        include_usage: whether to report usage, in a last chunk of its own.
        stream_id: the stream's id, where it isn't to be a completion's.
        extra: further fields of every chunk.
    """
    head: dict[str, Any] = {
        "id": stream_id or completion_id(turn.reply),
        "object": "chat.completion.chunk",
        "created": int(turn.reply.created_at.timestamp()),
        "model": turn.reply.model,
        **(extra or {}),
    }
    if include_usage:
        head["usage"] = None

    def chunk(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return sse({**head, "choices": [choice]})

    yield chunk({"role": "assistant", "content": ""})
    # A delta's chunk is the same bytes around its text every time; only the text is encoded anew.
    before, after = chunk({"content": "\0"}).split(rb'"\u0000"')
    async with aclosing(turn.events()) as events:
        async for event in events:
            match event:
                case TextDelta():
                    yield before + _json(event.text) + after
                case Finished(reply):
                    yield chunk({}, why_ended(reply))
                    if include_usage and reply.usage:
                        counted = usage(reply.usage).model_dump()
                        yield sse({**head, "choices": [], "usage": counted})
                    yield DONE
                case Failed(_, error):
                    yield sse(envelope(error, 500))


def model(tenant: Tenant, name: str) -> ModelOut:
    """One model.

    Raises:
        ModelNotFound: the tenant has none of that name.
    """
    tenant.route(name)
    return ModelOut(id=name, created=int(tenant.created_at.timestamp()), owned_by=tenant.id)


def models(tenant: Tenant) -> ModelList:
    """Every model the tenant has by name."""
    return ModelList(data=[model(tenant, name) for name in tenant.models if name != CATCH_ALL])


def sse(payload: Any) -> bytes:
    """One server-sent event."""
    return b"data: " + _json(payload) + b"\n\n"


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _text(message: InputMessage) -> str:
    if isinstance(message.content, list):
        return "".join(part.text for part in message.content)
    return message.content or ""
