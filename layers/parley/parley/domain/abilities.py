"""What only some models can do."""

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
