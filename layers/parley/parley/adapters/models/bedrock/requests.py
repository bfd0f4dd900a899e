"""A request as Converse takes it.

Converse is stricter than Chat Completions: system texts stand apart, user and assistant take turns
and the user begins, no message is empty or blank, a tool's result follows its call at once. What a
conversation lacks of that is mended here, so that one which began with another model can go on.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from parley.adapters.models.checks import check
from parley.domain.abilities import check_abilities
from parley.domain.conversations import Role
from parley.domain.errors import InvalidRequest
from parley.domain.tools import Tool, ToolCall, ToolChoice, ToolMode
from parley.domain.turns import CompletionRequest, Image, PromptMessage, ResponseFormat

NOTHING = "."
"""Stands where Converse wants something to be said and nothing was."""

LACKING = frozenset({"logprobs", "seed", "frequency_penalty", "presence_penalty"})
"""What Converse has no parameter for."""

EFFORTS = frozenset({"low", "medium", "high", "xhigh", "max"})

IMAGE_FORMATS: Mapping[str, str] = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}

_DATA_URL = re.compile(r"data:([\w/+.-]+);base64,(.*)", re.DOTALL)
_TOOL_USE_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")

Block = dict[str, Any]


def check_request(request: CompletionRequest) -> None:
    """Refuse what Converse can't do.

    Raises:
        InvalidRequest: `param` names what is wrong.
    """
    check(request)
    check_abilities(request, LACKING)
    temperature = request.parameters.temperature
    if temperature is not None and temperature > 1:
        raise InvalidRequest("This model takes a `temperature` up to 1.", param="temperature")
    if request.parallel_tool_calls is False:
        raise InvalidRequest(
            "This model can't be kept from calling several tools.", param="parallel_tool_calls"
        )
    if request.response_format and request.response_format.schema is None:
        raise InvalidRequest(
            "This model writes JSON of a given schema only: use `json_schema`.",
            param="response_format",
        )
    if request.reasoning_effort is not None and request.reasoning_effort not in EFFORTS:
        raise InvalidRequest(
            f"`reasoning_effort` must be one of {', '.join(sorted(EFFORTS))}.",
            param="reasoning_effort",
        )
    for tool in request.tools:
        if not _TOOL_NAME.fullmatch(tool.name):
            raise InvalidRequest(
                "A tool's name is made of up to 64 letters, digits, `_` and `-`.", param="tools"
            )
    for message in request.messages:
        _check_images(message)


def arguments(request: CompletionRequest, *, context_window: int) -> dict[str, Any]:
    """The arguments of `converse` and `converse_stream`."""
    parameters = request.parameters
    choices = {
        "maxTokens": parameters.max_tokens and min(parameters.max_tokens, context_window),
        "temperature": parameters.temperature,
        "topP": parameters.top_p,
        "stopSequences": list(parameters.stop) or None,
    }
    output = {
        "textFormat": request.response_format and _text_format(request.response_format),
        "effort": request.reasoning_effort,
    }
    spoken = [message for message in request.messages if not _is_system(message)]
    tools = _tool_config(request)
    asked = {
        "system": [
            {"text": message.text}
            for message in request.messages
            if _is_system(message) and not _is_blank(message.text)
        ],
        "inferenceConfig": _told(choices),
        "toolConfig": tools,
        "outputConfig": _told(output),
    }
    return {
        "modelId": request.model,
        "messages": _in_turns(_said(spoken, with_tools=tools is not None)),
        **{name: value for name, value in asked.items() if value},
    }


def _check_images(message: PromptMessage) -> None:
    for part in message.parts:
        if isinstance(part, Image):
            if message.role is not Role.USER:
                raise InvalidRequest("Only a user can show images.", param="messages")
            _image(part)


def _told(choices: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in choices.items() if value is not None}


def _is_system(message: PromptMessage) -> bool:
    return message.role in {Role.SYSTEM, Role.DEVELOPER}


def _is_blank(text: str) -> bool:
    return not text.strip()


def _in_turns(said: Iterable[tuple[Role, list[Block]]]) -> list[dict[str, Any]]:
    """Messages of which user and assistant have every other one, the user the first and last."""
    turns: list[dict[str, Any]] = [{"role": Role.USER.value, "content": []}]
    for role, content in said:
        if turns[-1]["role"] == role:
            turns[-1]["content"] += content
        elif content:  # an assistant that said nothing leaves no gap between two users
            turns.append({"role": role.value, "content": content})
    if turns[-1]["role"] == Role.ASSISTANT:
        turns.append({"role": Role.USER.value, "content": []})
    for turn in turns:
        turn["content"] = turn["content"] or [{"text": NOTHING}]
    return turns


def _said(
    messages: Iterable[PromptMessage], *, with_tools: bool
) -> Iterator[tuple[Role, list[Block]]]:
    """Who said what.

    Args:
        with_tools: whether calls and results may be shown as such. Converse takes them only where
            it may call tools again; else they are told in words.
    """
    called: dict[str, ToolCall] = {}  # by the newest message of the assistant
    for message in messages:
        match message.role:
            case Role.ASSISTANT:
                called = {call.id: call for call in message.tool_calls}
                calls = [
                    _tool_use(call) if with_tools else {"text": f"{call.name}({call.arguments})"}
                    for call in message.tool_calls
                ]
                yield Role.ASSISTANT, [*_content(message), *calls]
            case Role.TOOL:
                call = called.get(message.tool_call_id or "")
                if call is None:
                    yield Role.USER, _content(message)
                elif with_tools:
                    yield Role.USER, [_tool_result(call, message)]
                else:
                    yield Role.USER, [{"text": f"{call.name} returned: {message.text}"}]
            case _:
                yield Role.USER, _content(message)


def _content(message: PromptMessage) -> list[Block]:
    return [
        _image(part) if isinstance(part, Image) else {"text": part}
        for part in message.parts or (message.text,)
        if isinstance(part, Image) or not _is_blank(part)
    ]


def _image(image: Image) -> Block:
    """The block of a picture.

    Raises:
        InvalidRequest: it isn't one that Converse can be sent.
    """
    data = _DATA_URL.fullmatch(image.url)
    if data is None:
        raise InvalidRequest(
            "This model takes images as base64 `data:` URLs only; an address is not fetched.",
            param="messages",
        )
    form = IMAGE_FORMATS.get(data[1].lower())
    if form is None:
        raise InvalidRequest("An image must be PNG, JPEG, GIF or WebP.", param="messages")
    try:
        content = base64.b64decode(data[2], validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest("An image's `data:` URL is not base64.", param="messages") from error
    if not content:
        raise InvalidRequest("An image is empty.", param="messages")
    return {"image": {"format": form, "source": {"bytes": content}}}


def _tool_use(call: ToolCall) -> Block:
    try:
        told = json.loads(call.arguments)
    except (ValueError, RecursionError):
        told = call.arguments
    if not isinstance(told, dict):  # wrong as the model wrote it, but Converse takes only objects
        told = {"arguments": told} if told else {}
    return {"toolUse": {"toolUseId": _tool_use_id(call.id), "name": call.name, "input": told}}


def _tool_result(call: ToolCall, message: PromptMessage) -> Block:
    text = NOTHING if _is_blank(message.text) else message.text
    return {"toolResult": {"toolUseId": _tool_use_id(call.id), "content": [{"text": text}]}}


def _tool_use_id(call_id: str) -> str:
    """The id as Converse takes it; one of another back end may have other letters."""
    if _TOOL_USE_ID.fullmatch(call_id):
        return call_id
    return hashlib.sha256(call_id.encode()).hexdigest()


def _tool_config(request: CompletionRequest) -> dict[str, Any] | None:
    """The tools to offer; Converse can't be told of tools that it may not call."""
    choice = request.tool_choice or ToolChoice()
    if not request.tools or choice.mode is ToolMode.NONE:
        return None
    config: dict[str, Any] = {"tools": [_tool(tool) for tool in request.tools]}
    if choice.name is not None:
        config["toolChoice"] = {"tool": {"name": choice.name}}
    elif choice.mode is ToolMode.REQUIRED:
        config["toolChoice"] = {"any": {}}
    return config


def _tool(tool: Tool) -> Block:
    schema = {"type": "object", **(tool.parameters or {})}
    told: dict[str, Any] = {"name": tool.name, "inputSchema": {"json": schema}}
    if tool.description:
        told["description"] = tool.description
    if tool.strict:
        told["strict"] = True
    return {"toolSpec": told}


def _text_format(form: ResponseFormat) -> dict[str, Any]:
    schema = {"name": form.name or "reply", "schema": json.dumps(form.schema, ensure_ascii=False)}
    return {"type": "json_schema", "structure": {"jsonSchema": schema}}
