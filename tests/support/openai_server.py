"""A model behind the wire of Chat Completions, as any compatible server would have it."""

import json
from contextlib import aclosing
from typing import Any

from parley.domain.conversations import Parameters, Role, Usage
from parley.domain.errors import ContextTooLong, ParleyError
from parley.domain.tools import Tool, ToolCall, ToolChoice, ToolMode
from parley.domain.turns import (
    Completed,
    CompletionRequest,
    ModelEvent,
    PromptMessage,
    ReasoningDelta,
    ResponseFormat,
    TextDelta,
    ToolCallDelta,
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
            async for one in events:
                await exchange.send(*_told(one))
        await exchange.send(DONE)
        await exchange.end()

    return respond


def _told(said: ModelEvent) -> list[bytes]:
    match said:
        case TextDelta(text, logprobs):
            return [chunk({"content": text}, logprobs={"content": logprobs})]
        case ReasoningDelta(text):
            return [chunk({"reasoning_content": text})]
        case ToolCallDelta(index, arguments, call_id, name):
            function = {"arguments": arguments} | ({"name": name} if name else {})
            piece = {"index": index, "function": function} | ({"id": call_id} if call_id else {})
            return [chunk({"tool_calls": [piece]})]
        case Completed(reason, Usage() as counted):
            return [chunk({}, reason), usage(counted.prompt_tokens, counted.completion_tokens)]
    raise AssertionError(said)


def _asked(body: dict[str, Any]) -> CompletionRequest:
    form = body.get("response_format", {})
    return CompletionRequest(
        model=body["model"],
        messages=tuple(_message(message) for message in body["messages"]),
        parameters=Parameters(
            temperature=body.get("temperature"),
            top_p=body.get("top_p"),
            max_tokens=body.get("max_tokens"),
            seed=body.get("seed"),
            stop=tuple(body.get("stop", ())),
        ),
        tools=tuple(Tool(**tool["function"]) for tool in body.get("tools", ())),
        tool_choice=_tool_choice(body.get("tool_choice", "auto")),
        response_format=ResponseFormat(**form["json_schema"]) if "json_schema" in form else None,
        top_logprobs=body.get("top_logprobs", 0) if body.get("logprobs") else None,
    )


def _message(message: dict[str, Any]) -> PromptMessage:
    calls = tuple(
        ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls", ())
    )
    return PromptMessage(
        Role(message["role"]),
        message["content"] or "",
        tool_calls=calls,
        tool_call_id=message.get("tool_call_id"),
    )


def _tool_choice(choice: str | dict[str, Any]) -> ToolChoice:
    if isinstance(choice, str):
        return ToolChoice(ToolMode(choice))
    return ToolChoice(ToolMode.REQUIRED, choice["function"]["name"])
