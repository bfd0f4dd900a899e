"""What no model can do, refused before one is asked."""

import math

from parley.domain.errors import InvalidRequest
from parley.domain.turns import CompletionRequest


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
        "messages": any(message.parts for message in request.messages),
    }
    for param, wanted in asked.items():
        if wanted:
            raise InvalidRequest(f"`{param}` asks for what this model can't do.", param=param)


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
