"""A request as Chat Completions takes it."""

import json
from typing import Any

from parley.domain.conversations import Role
from parley.domain.errors import InvalidRequest
from parley.domain.routes import MaxTokensField
from parley.domain.tools import Tool, ToolCall, ToolChoice
from parley.domain.turns import CompletionRequest, Image, PromptMessage, ResponseFormat

SEEDS = range(-(2**63), 2**63)
"""What fits the integer that servers read a seed into; any other is brought into it."""


def body(
    request: CompletionRequest, *, context_window: int, max_tokens_field: MaxTokensField
) -> bytes:
    """The JSON to send; it always asks for a stream with its usage.

    Raises:
        InvalidRequest: something in it isn't Unicode.
    """
    parameters = request.parameters
    choices: dict[str, Any] = {
        "temperature": parameters.temperature,
        "top_p": parameters.top_p,
        max_tokens_field: parameters.max_tokens and min(parameters.max_tokens, context_window),
        "seed": parameters.seed if parameters.seed is None else _seed(parameters.seed),
        "stop": parameters.stop or None,
        "frequency_penalty": parameters.frequency_penalty,
        "presence_penalty": parameters.presence_penalty,
        "tools": [_tool(tool) for tool in request.tools] or None,
        "tool_choice": request.tool_choice and _tool_choice(request.tool_choice),
        "parallel_tool_calls": request.parallel_tool_calls,
        "response_format": request.response_format and _response_format(request.response_format),
        "logprobs": True if request.top_logprobs is not None else None,
        "top_logprobs": request.top_logprobs or None,
        "reasoning_effort": request.reasoning_effort,
    }
    asked: dict[str, Any] = {
        "model": request.model,
        "messages": [_message(message) for message in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
        **{name: choice for name, choice in choices.items() if choice is not None},
    }
    try:
        return json.dumps(asked, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(
            "The request contains a lone surrogate, which is no character."
        ) from error


def _seed(seed: int) -> int:
    return seed if seed in SEEDS else seed % SEEDS.stop


def _message(message: PromptMessage) -> dict[str, Any]:
    # Most servers don't know the developer's role, and OpenAI takes one for the other.
    role = Role.SYSTEM if message.role is Role.DEVELOPER else message.role
    said: dict[str, Any] = {"role": role, "content": _content(message)}
    if message.tool_calls:
        said["content"] = said["content"] or None
        said["tool_calls"] = [_tool_call(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        said["tool_call_id"] = message.tool_call_id
    return said


def _content(message: PromptMessage) -> str | list[dict[str, Any]]:
    if not message.parts:
        return message.text
    return [
        _image(part) if isinstance(part, Image) else {"type": "text", "text": part}
        for part in message.parts
    ]


def _image(image: Image) -> dict[str, Any]:
    detail = {} if image.detail is None else {"detail": image.detail}
    return {"type": "image_url", "image_url": {"url": image.url, **detail}}


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.parameters is not None:
        function["parameters"] = dict(tool.parameters)
    if tool.strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def _tool_call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _tool_choice(choice: ToolChoice) -> str | dict[str, Any]:
    if choice.name is not None:
        return {"type": "function", "function": {"name": choice.name}}
    return choice.mode.value


def _response_format(form: ResponseFormat) -> dict[str, Any]:
    if form.schema is None:
        return {"type": "json_object"}
    schema = {"name": form.name or "reply", "schema": dict(form.schema), "strict": form.strict}
    return {"type": "json_schema", "json_schema": schema}
