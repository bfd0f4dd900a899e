"""A model behind the wire of Amazon Bedrock: REST JSON, and the binary frames of event streams."""

import json
import struct
from binascii import crc32
from collections.abc import Mapping
from contextlib import aclosing
from itertools import pairwise
from typing import Any
from urllib.parse import unquote

import boto3

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
from tests.support.aws import REGION
from tests.support.upstream import Exchange, Respond

SESSION = boto3.Session("testing", "testing", region_name=REGION)
"""Shared by all clients, as reading the description of a service takes long."""

STREAM = {"content-type": "application/vnd.amazon.eventstream", "x-amzn-requestid": "0-0"}
STRING = 7
"""The type of a header's value."""

STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message of an event stream: lengths, their checksum, headers, payload, checksum."""
    named = b"".join(
        struct.pack("!B", len(name))
        + name.encode("ascii")
        + struct.pack("!BH", STRING, len(value))
        + value.encode("ascii")
        for name, value in headers.items()
    )
    lengths = struct.pack("!II", 16 + len(named) + len(payload), len(named))
    message = lengths + struct.pack("!I", crc32(lengths)) + named + payload
    return message + struct.pack("!I", crc32(message))


def event(kind: str, **fields: Any) -> bytes:
    """An event; Bedrock pads its payloads so that their length doesn't tell the text's."""
    headers = {
        ":event-type": kind,
        ":content-type": "application/json",
        ":message-type": "event",
    }
    return frame(headers, json.dumps({**fields, "p": "abcdefgh"}, ensure_ascii=False).encode())


def exception(kind: str, message: str) -> bytes:
    """A failure in the middle of a stream."""
    headers = {
        ":exception-type": kind,
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return frame(headers, json.dumps({"message": message}).encode())


def delta(block: int = 0, **said: Any) -> bytes:
    return event("contentBlockDelta", contentBlockIndex=block, delta=said)


def start(block: int, **what: Any) -> bytes:
    return event("contentBlockStart", contentBlockIndex=block, start=what)


def stop(block: int = 0) -> bytes:
    return event("contentBlockStop", contentBlockIndex=block)


def metadata(prompt: int, completion: int, **more: int) -> bytes:
    counted = {"inputTokens": prompt, "outputTokens": completion, **more}
    counted["totalTokens"] = sum(counted.values())
    return event("metadata", usage=counted, metrics={"latencyMs": 1})


async def refuse(exchange: Exchange, status: int, code: str, message: str, **headers: str) -> None:
    """Answer with an error as Bedrock does: its name in a header, its sentence in the body."""
    await exchange.answer(
        status,
        json.dumps({"message": message}).encode(),
        {"content-type": "application/json", "x-amzn-errortype": f"{code}:http://a/", **headers},
    )


def serving(model: Model) -> Respond:
    """Answers with what the model says, where the request is one that Bedrock would take."""

    async def respond(exchange: Exchange) -> None:
        body = exchange.request.json
        if wrong := what_is_wrong(body):
            await refuse(exchange, 400, "ValidationException", wrong)
            return
        async with aclosing(model.complete(_asked(exchange.request.target, body))) as events:
            try:
                await anext(events)
            except ParleyError as error:
                too_long = isinstance(error, ContextTooLong)
                sentence = "Input is too long for requested model." if too_long else error.message
                await refuse(exchange, 400, "ValidationException", sentence)
                return
            await exchange.begin(STREAM)
            await exchange.send(event("messageStart", role="assistant"))
            told = _Told()
            async for said in events:
                await exchange.send(*told.frames(said))
        await exchange.end()

    return respond


def what_is_wrong(body: Mapping[str, Any]) -> str | None:
    """Why Bedrock would refuse these messages, in about its own words."""
    messages = body.get("messages", [])
    roles = [message["role"] for message in messages]
    blocks = [*body.get("system", []), *(block for said in messages for block in said["content"])]
    uses_tools = any({"toolUse", "toolResult"} & block.keys() for block in blocks)
    wrong = {
        "A conversation must start with a user message.": roles[:1] != ["user"],
        "The conversation must end with a user message.": roles[-1:] != ["user"],
        "A conversation must alternate between user and assistant roles.": any(
            one == following for one, following in pairwise(roles)
        ),
        "The content field is empty.": not all(message["content"] for message in messages),
        "The text field in the ContentBlock object is blank.": any(
            not block["text"].strip() for block in blocks if "text" in block
        ),
        "The toolConfig field must be defined.": uses_tools and "toolConfig" not in body,
    }
    return next((sentence for sentence, applies in wrong.items() if applies), None)


class _Told:
    """What a model says, in blocks: a text, what it thinks, each of its calls."""

    def __init__(self) -> None:
        self._block = 0
        self._kind: object = None  # nothing has been said

    def frames(self, said: ModelEvent) -> list[bytes]:
        match said:
            case TextDelta(text):
                return [*self._begin("text"), delta(self._block, text=text)]
            case ReasoningDelta(text):
                thought = {"text": text}
                return [*self._begin("reasoning"), delta(self._block, reasoningContent=thought)]
            case ToolCallDelta(index, arguments, call_id, name):
                ended = self._begin(index)
                if name:
                    call = {"toolUseId": call_id, "name": name}
                    return [*ended, start(self._block, toolUse=call)]
                return [delta(self._block, toolUse={"input": arguments})]
            case Completed(reason, Usage() as counted):
                return [
                    *self._begin("end"),
                    event("messageStop", stopReason=STOP_REASONS[reason]),
                    metadata(counted.prompt_tokens, counted.completion_tokens),
                ]
        raise AssertionError(said)

    def _begin(self, kind: object) -> list[bytes]:
        """End the block before, if this belongs to another."""
        before, self._kind = self._kind, kind
        if before in {None, kind}:
            return []
        self._block += 1
        return [stop(self._block - 1)]


def _asked(target: str, body: Mapping[str, Any]) -> CompletionRequest:
    config = body.get("inferenceConfig", {})
    system = [PromptMessage(Role.SYSTEM, block["text"]) for block in body.get("system", [])]
    said = [one for message in body["messages"] for one in _messages(message)]
    tools = [tool["toolSpec"] for tool in body.get("toolConfig", {}).get("tools", ())]
    form = body.get("outputConfig", {}).get("textFormat")
    return CompletionRequest(
        model=unquote(target.split("/")[2]),
        messages=(*system, *said),
        parameters=Parameters(
            temperature=config.get("temperature"),
            top_p=config.get("topP"),
            max_tokens=config.get("maxTokens"),
            stop=tuple(config.get("stopSequences", ())),
        ),
        tools=tuple(
            Tool(name=tool["name"], parameters=tool["inputSchema"]["json"]) for tool in tools
        ),
        tool_choice=_tool_choice(body.get("toolConfig", {}).get("toolChoice", {"auto": {}})),
        response_format=form
        and ResponseFormat(schema=json.loads(form["structure"]["jsonSchema"]["schema"])),
    )


def _messages(message: Mapping[str, Any]) -> list[PromptMessage]:
    text = "\n".join(block["text"] for block in message["content"] if "text" in block)
    calls = [block["toolUse"] for block in message["content"] if "toolUse" in block]
    results = [block["toolResult"] for block in message["content"] if "toolResult" in block]
    said = PromptMessage(
        Role(message["role"]),
        text,
        tool_calls=tuple(
            ToolCall(call["toolUseId"], call["name"], json.dumps(call["input"])) for call in calls
        ),
    )
    returned = [
        PromptMessage(Role.TOOL, result["content"][0]["text"], tool_call_id=result["toolUseId"])
        for result in results
    ]
    return [*returned, said] if text or calls else returned


def _tool_choice(choice: Mapping[str, Any]) -> ToolChoice:
    if "tool" in choice:
        return ToolChoice(ToolMode.REQUIRED, choice["tool"]["name"])
    return ToolChoice(ToolMode.REQUIRED if "any" in choice else ToolMode.AUTO)
