"""Chat Completions to and from the core: a request becomes a prompt, events become chunks."""

import json
import re
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from parley.dialects.openai.errors import envelope
from parley.dialects.openai.schema import (
    AssistantMessage,
    CalledFunction,
    Choice,
    CompletionBody,
    CompletionDetails,
    CompletionList,
    CompletionOut,
    ImagePart,
    InputMessage,
    JsonFormat,
    Logprobs,
    ModelList,
    ModelOut,
    NamedTool,
    PromptDetails,
    RefusalPart,
    RepliedMessage,
    Sampling,
    SchemaFormat,
    SomeTools,
    StoredMessage,
    StoredMessageList,
    StoredPart,
    Streaming,
    TextPart,
    ToolCallOut,
    ToolMessage,
    UsageOut,
    Using,
)
from parley.dialects.wire import Telling, Wire
from parley.domain.completions import StoredCompletion
from parley.domain.conversations import (
    FinishReason,
    Message,
    Page,
    Parameters,
    Role,
    Status,
    Usage,
)
from parley.domain.errors import InvalidRequest, NotFound
from parley.domain.ids import MessageId
from parley.domain.tenants import CATCH_ALL, Tenant
from parley.domain.tools import Tool, ToolCall, ToolChoice, ToolMode
from parley.domain.turns import (
    CompletionRequest,
    Failed,
    Finished,
    Image,
    Options,
    PromptMessage,
    ReasoningDelta,
    ResponseFormat,
    TextDelta,
    ToolCallDelta,
    TurnEvent,
)
from parley.services.choices import side_by_side
from parley.services.turns import Turn

DONE = b"data: [DONE]\n\n"

_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "audio": (),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "moderation": (),
    "verbosity": ("medium",),
    "web_search_options": (),
}
"""Parameters nothing behind the API can honour, with the values that ask for nothing."""


def request(body: CompletionBody) -> CompletionRequest:
    """What to ask the model.

    Raises:
        InvalidRequest: a parameter asks for what can't be done; it is named.
    """
    for name, value in (body.model_extra or {}).items():
        if name in _NEUTRAL and value is not None and value not in _NEUTRAL[name]:
            raise InvalidRequest(f"`{name}` is not supported.", param=name)
    return options(body).of(
        CompletionRequest(
            model=body.model,
            messages=tuple(map(_prompt_message, body.messages)),
            parameters=parameters(body),
            top_logprobs=(body.top_logprobs or 0) if body.logprobs or body.top_logprobs else None,
        )
    )


def options(body: Using) -> Options:
    """What the model may use, and what form its reply must have.

    Raises:
        InvalidRequest: it must call what there isn't.
    """
    tools = _offered(body)
    return Options(
        tools=tools,
        tool_choice=_tool_choice(body),
        parallel_tool_calls=body.parallel_tool_calls if tools else None,
        response_format=_response_format(body),
        reasoning_effort=body.reasoning_effort,
    )


def parameters(body: Sampling) -> Parameters:
    """The sampling parameters; the newer name of the token limit wins over the older one."""
    stop = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    return Parameters(
        temperature=body.temperature,
        top_p=body.top_p,
        max_tokens=body.max_completion_tokens or body.max_tokens,
        seed=body.seed,
        stop=stop,
        frequency_penalty=body.frequency_penalty,
        presence_penalty=body.presence_penalty,
    )


_PREFIX = "chatcmpl-"


def completion_id(id_: MessageId) -> str:
    """A completion's id as OpenAI's clients expect it to look."""
    return f"{_PREFIX}{str(id_).replace('-', '')}"


def parse_completion_id(text: str) -> MessageId:
    """Read a completion's id; one that was never issued becomes the id that none has."""
    return MessageId.parse(text.removeprefix(_PREFIX) if text.startswith(_PREFIX) else "")


def completion(
    replies: Sequence[Message],
    logprobs: Sequence[Sequence[Mapping[str, Any]] | None] = (),
    *,
    service_tier: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> CompletionOut:
    """Settled replies to one prompt as a whole completion.

    Args:
        logprobs: of the replies, in their order.
        service_tier: the one that was asked for; there is only one that can be served.
        metadata: what is remembered with it, where it is kept.
    """
    first = replies[0]
    told = [*logprobs, *[None] * len(replies)]
    return CompletionOut(
        id=completion_id(first.id),
        created=int(first.created_at.timestamp()),
        model=first.model or "",
        choices=[
            Choice(
                index=index,
                message=assistant_message(reply),
                logprobs=Logprobs(content=list(map(dict, found))) if found else None,
                finish_reason=why_ended(reply),
                status="stopped" if reply.status is Status.STOPPED else None,
            )
            for index, (reply, found) in enumerate(zip(replies, told, strict=False))
        ],
        usage=usage(reply.usage for reply in replies),
        service_tier="default" if service_tier else None,
        metadata=None if metadata is None else dict(metadata),
    )


def stored_completion(kept: StoredCompletion) -> CompletionOut:
    """A completion that is kept."""
    return completion(kept.replies, metadata=kept.metadata)


def completion_list(page: Page[StoredCompletion]) -> CompletionList:
    """A page of the completions that are kept."""
    data = [stored_completion(kept) for kept in page.items]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return CompletionList(data=data, first_id=first, last_id=last, has_more=page.has_more)


def metadata_query(query: Mapping[str, str]) -> dict[str, str]:
    """The pairs of a query like `metadata[topic]=weather`."""
    return {
        found[1]: value
        for name, value in query.items()
        if (found := re.fullmatch(r"metadata\[(.*)\]", name))
    }


def stored_messages(
    kept: StoredCompletion, *, limit: int, after: str | None, newest_first: bool
) -> StoredMessageList:
    """A page of the prompt of a completion that is kept.

    Raises:
        NotFound: `after` is none of its messages.
    """
    data = [
        _stored_message(f"{completion_id(kept.id)}-{number}", message)
        for number, message in enumerate(kept.messages)
    ]
    if newest_first:
        data.reverse()
    if after is not None:
        places = [place for place, message in enumerate(data, start=1) if message.id == after]
        if not places:
            raise NotFound("No such message.", param="after")
        data = data[places[0] :]
    page = data[:limit]
    first, last = (page[0].id, page[-1].id) if page else (None, None)
    return StoredMessageList(
        data=page, first_id=first, last_id=last, has_more=0 < limit < len(data)
    )


def _stored_message(id_: str, message: PromptMessage) -> StoredMessage:
    return StoredMessage(
        id=id_,
        role=message.role,
        content=message.text if message.text or not message.tool_calls else None,
        content_parts=[_stored_part(part) for part in message.parts] or None,
        tool_calls=tool_calls(message.tool_calls) or None,
        tool_call_id=message.tool_call_id,
    )


def _stored_part(part: str | Image) -> StoredPart:
    if isinstance(part, str):
        return StoredPart(type="text", text=part)
    detail = {"detail": part.detail} if part.detail else {}
    return StoredPart(type="image_url", image_url={"url": part.url, **detail})


def assistant_message(reply: Message) -> AssistantMessage:
    """A reply as a message."""
    return AssistantMessage(
        content=reply.text if reply.text or not reply.tool_calls else None,
        reasoning_content=reply.reasoning or None,
        tool_calls=tool_calls(reply.tool_calls) or None,
    )


def tool_calls(calls: Iterable[ToolCall]) -> list[ToolCallOut]:
    """Calls the model asks for."""
    return [
        ToolCallOut.model_construct(
            id=call.id,
            type="function",
            function=CalledFunction.model_construct(name=call.name, arguments=call.arguments),
        )
        for call in calls
    ]


def why_ended(reply: Message) -> FinishReason:
    """Why a finished reply ended; OpenAI has one word for a model and for a person who stops it."""
    return reply.finish_reason or FinishReason.STOP


def usage(counted: Iterable[Usage | None]) -> UsageOut | None:
    """Token counts of some replies together; None where one of them wasn't counted."""
    found = list(counted)
    known = [each for each in found if each is not None]
    if len(known) < len(found):
        return None
    return UsageOut(
        prompt_tokens=sum(each.prompt_tokens for each in known),
        completion_tokens=sum(each.completion_tokens for each in known),
        total_tokens=sum(each.total_tokens for each in known),
        prompt_tokens_details=PromptDetails(
            cached_tokens=sum(each.cached_tokens for each in known)
        ),
        completion_tokens_details=CompletionDetails(
            reasoning_tokens=sum(each.reasoning_tokens for each in known)
        ),
    )


_INCLUDE_USAGE, _CHOICES = "include_usage", "choices"


def telling(body: Streaming, *, choices: int = 1) -> Telling:
    """What a stream is told with."""
    return {_INCLUDE_USAGE: body.wants_usage, _CHOICES: choices}


def check_telling(telling: Telling) -> None:
    """Refuse what can't be told from its middle.

    Raises:
        InvalidRequest: it has several choices, and the place in one says nothing of the others.
    """
    if telling[_CHOICES] > 1:
        raise InvalidRequest(
            "A stream of several choices can't be resumed. Send its request again with the same "
            "Idempotency-Key to hear it from the beginning."
        )


async def chunks(
    turns: Sequence[Turn],
    events: AsyncGenerator[tuple[int, TurnEvent], None] | None = None,
    *,
    include_usage: bool,
    stream_id: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> AsyncGenerator[bytes, None]:
    """The events of the turns that answer a prompt as server-sent chunks, ended by `[DONE]`.

    A failed turn ends in an error object and without `[DONE]`: the SDKs raise on the one, and take
    the lack of the other for a good end unless they are told.

    Args:
        events: what comes of the turns, where it isn't just their own events.
        include_usage: whether to report usage, in a last chunk of its own.
        stream_id: the stream's id, where it isn't to be a completion's.
        extra: further fields of every chunk.
    """
    head: dict[str, Any] = {
        "id": stream_id or completion_id(turns[0].reply.id),
        "object": "chat.completion.chunk",
        "created": int(turns[0].reply.created_at.timestamp()),
        "model": turns[0].reply.model,
        **(extra or {}),
    }
    if include_usage:
        head["usage"] = None
    choices = [_ChoiceChunks(head, index) for index in range(len(turns))]
    for choice in choices:
        yield choice.chunk({"role": "assistant", "content": ""})
    ended: list[Message] = []
    async with aclosing(events or side_by_side(turns)) as heard:
        async for index, event in heard:
            match event:
                case Finished(reply):
                    ended.append(reply)
                    yield choices[index].end(reply)
                case Failed(_, error):
                    yield sse(envelope(error, 500))
                    return
                case TextDelta() | ReasoningDelta() | ToolCallDelta():
                    yield choices[index].delta(event)
    if include_usage and (counted := usage(reply.usage for reply in ended)):
        yield sse({**head, "choices": [], "usage": counted.model_dump()})
    yield DONE


def _tell(turn: Turn, telling: Telling) -> AsyncGenerator[bytes, None]:
    return chunks((turn,), include_usage=telling[_INCLUDE_USAGE])


WIRE = Wire(
    tell=_tell,
    preamble=1,
    longest_end=3,  # why it ended, usage, [DONE]
    show_id=completion_id,
    bare=DONE,
    numbers=False,  # LiteLLM ends a stream at a line that isn't data, and misses the usage
    check=check_telling,
)


class _ChoiceChunks:
    """Makes the chunks of one choice."""

    def __init__(self, head: Mapping[str, Any], index: int) -> None:
        self._head = head
        self._index = index
        # A text's chunk is the same bytes around it every time; only the text is encoded anew.
        self._before, self._after = self.chunk({"content": "\0"}).split(rb'"\u0000"')

    def delta(self, event: TextDelta | ReasoningDelta | ToolCallDelta) -> bytes:
        """The chunk of one piece of the reply."""
        match event:
            case TextDelta(text, ()):
                return self._before + _json(text) + self._after
            case TextDelta(text, logprobs):
                told = {"content": logprobs, "refusal": None}
                return self.chunk({"content": text}, logprobs=told)
            case ReasoningDelta(text):
                return self.chunk({"reasoning_content": text})
            case ToolCallDelta():
                return self.chunk({"tool_calls": [_call_delta(event)]})

    def end(self, reply: Message) -> bytes:
        """The last chunk; it says so where somebody stopped the reply."""
        status = "stopped" if reply.status is Status.STOPPED else None
        return self.chunk({}, finish_reason=why_ended(reply), status=status)

    def chunk(
        self,
        delta: Mapping[str, Any],
        *,
        logprobs: Mapping[str, Any] | None = None,
        finish_reason: str | None = None,
        status: str | None = None,
    ) -> bytes:
        """A chunk with this delta."""
        choice = {
            "index": self._index,
            "delta": delta,
            "logprobs": logprobs,
            "finish_reason": finish_reason,
            **({"status": status} if status else {}),
        }
        return sse({**self._head, "choices": [choice]})


def model(tenant: Tenant, name: str) -> ModelOut:
    """One model.

    Raises:
        ModelNotFound: the tenant has none of that name.
    """
    tenant.routes(name)
    return ModelOut(id=name, created=int(tenant.created_at.timestamp()), owned_by=tenant.id)


def models(tenant: Tenant) -> ModelList:
    """Every model the tenant has by name."""
    return ModelList(data=[model(tenant, name) for name in tenant.models if name != CATCH_ALL])


def sse(payload: Any) -> bytes:
    """One server-sent event."""
    return b"data: " + _json(payload) + b"\n\n"


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _call_delta(event: ToolCallDelta) -> dict[str, Any]:
    if event.name is None:
        return {"index": event.index, "function": {"arguments": event.arguments}}
    return {
        "index": event.index,
        "id": event.id,
        "type": "function",
        "function": {"name": event.name, "arguments": event.arguments},
    }


def _prompt_message(message: InputMessage) -> PromptMessage:
    content = message.content
    parts = [_part(part) for part in content] if isinstance(content, list) else [content or ""]
    has_picture = any(isinstance(part, Image) for part in parts)
    calls = message.tool_calls or () if isinstance(message, RepliedMessage) else ()
    return PromptMessage(
        Role(message.role),
        "".join(part for part in parts if isinstance(part, str)),
        parts=tuple(parts) if has_picture else (),
        tool_calls=tuple(
            ToolCall(call.id, call.function.name, call.function.arguments) for call in calls
        ),
        tool_call_id=message.tool_call_id if isinstance(message, ToolMessage) else None,
    )


def _part(part: TextPart | RefusalPart | ImagePart) -> str | Image:
    match part:
        case TextPart():
            return part.text
        case RefusalPart():
            return part.refusal
        case ImagePart():
            return Image(part.image_url.url, part.image_url.detail)


def _named(body: Using) -> list[str]:
    """The tools that the choice is confined to; none where it is free."""
    match body.tool_choice:
        case NamedTool(function=wanted):
            return [wanted.name]
        case SomeTools(allowed_tools=allowed):
            return [tool.function.name for tool in allowed.tools]
    return []


def _offered(body: Using) -> tuple[Tool, ...]:
    """The tools as the model is told of them: of some that are allowed it hears of no others."""
    confined = _named(body) if isinstance(body.tool_choice, SomeTools) else None
    return tuple(
        Tool(
            name=tool.function.name,
            description=tool.function.description,
            parameters=tool.function.parameters,
            strict=bool(tool.function.strict),
        )
        for tool in body.tools or ()
        if confined is None or tool.function.name in confined
    )


def _tool_choice(body: Using) -> ToolChoice | None:
    """How free the model is; None where it is as free as it is without a word.

    Raises:
        InvalidRequest: it must call what there isn't.
    """
    names = [tool.function.name for tool in body.tools or ()]
    for wanted in _named(body):
        if wanted not in names:
            raise InvalidRequest(
                f"`tool_choice` names `{wanted}`, which isn't among the tools.",
                param="tool_choice",
            )
    match body.tool_choice:
        case NamedTool(function=function):
            return ToolChoice(ToolMode.REQUIRED, function.name)
        case SomeTools(allowed_tools=allowed):
            return ToolChoice(ToolMode(allowed.mode))
        case "required" if not names:
            raise InvalidRequest("`tool_choice` asks for a call of no tool.", param="tool_choice")
        case str(mode) if names:
            return ToolChoice(ToolMode(mode))
    return None


def _response_format(body: Using) -> ResponseFormat | None:
    match body.response_format:
        case JsonFormat():
            return ResponseFormat()
        case SchemaFormat(json_schema=wanted):
            return ResponseFormat(
                name=wanted.name, schema=wanted.schema_ or {}, strict=bool(wanted.strict)
            )
    return None
