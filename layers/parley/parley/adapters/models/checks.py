"""What no model can do, refused before one is asked."""

import math
from collections.abc import Callable, Collection, Mapping

from parley.domain.errors import InvalidRequest
from parley.domain.turns import CompletionRequest, Image

ABILITIES: Mapping[str, Callable[[CompletionRequest], object]] = {
    "tools": lambda request: request.tools,
    "tool_choice": lambda request: request.tool_choice,
    "parallel_tool_calls": lambda request: request.parallel_tool_calls is not None,
    "response_format": lambda request: request.response_format,
    "logprobs": lambda request: request.top_logprobs is not None,
    "reasoning_effort": lambda request: request.reasoning_effort,
    "seed": lambda request: request.parameters.seed is not None,
    "frequency_penalty": lambda request: request.parameters.frequency_penalty,
    "presence_penalty": lambda request: request.parameters.presence_penalty,
    "images": lambda request: any(
        isinstance(part, Image) for message in request.messages for part in message.parts
    ),
}
"""What only some models can do, and how to tell that a request asks for it.

All but `images` are called as the field of OpenAI's that asks for them.
"""


def check(request: CompletionRequest) -> None:
    """Refuse parameters out of range and text that isn't Unicode.

    Raises:
        InvalidRequest: `param` names what is wrong.
    """
    parameters = request.parameters
    if parameters.temperature is not None and not 0 <= parameters.temperature < math.inf:
        raise InvalidRequest("`temperature` must be 0 or more.", param="temperature")
    if parameters.top_p is not None and not 0 <= parameters.top_p <= 1:
        raise InvalidRequest("`top_p` must be between 0 and 1.", param="top_p")
    if parameters.max_tokens is not None and parameters.max_tokens < 1:
        raise InvalidRequest("`max_tokens` must be 1 or more.", param="max_tokens")
    if "" in parameters.stop:
        raise InvalidRequest("A stop sequence must not be empty.", param="stop")
    for text in parameters.stop:
        check_unicode(text, param="stop")
    for message in request.messages:
        check_unicode(message.text, param="messages")


def check_text_only(request: CompletionRequest) -> None:
    """Refuse what a model can't do that only reads and writes text.

    Raises:
        InvalidRequest: `param` names what is wrong.
    """
    parameters = request.parameters
    asked: dict[str, object] = {
        "tools": request.tools,
        "response_format": request.response_format,
        "logprobs": request.top_logprobs is not None,
        "reasoning_effort": request.reasoning_effort,
        "frequency_penalty": parameters.frequency_penalty,
        "presence_penalty": parameters.presence_penalty,
        "messages": any(
            message.parts or message.tool_calls or message.tool_call_id
            for message in request.messages
        ),
    }
    for param, wanted in asked.items():
        if wanted:
            raise InvalidRequest(f"`{param}` asks for what this model can't do.", param=param)


def check_abilities(request: CompletionRequest, lacking: Collection[str]) -> None:
    """Refuse what a model can't do that lacks some of `ABILITIES`.

    Raises:
        InvalidRequest: `param` names what is wrong.
    """
    for ability, asks in ABILITIES.items():
        if ability in lacking and asks(request):
            if ability == "images":
                raise InvalidRequest("This model can't see images.", param="messages")
            raise InvalidRequest(f"`{ability}` asks for what this model can't do.", param=ability)


def check_unicode(text: str, *, param: str) -> None:
    """Refuse text with lone surrogates: JSON can carry them and UTF-8 can't.

    Raises:
        InvalidRequest: `param` is passed on.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(
            "The text contains a lone surrogate, which is no character.", param=param
        ) from error
