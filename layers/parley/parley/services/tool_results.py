"""Which calls of a stored conversation can be answered, and whether some results answer them."""

from collections.abc import Iterable, Sequence

from parley.domain.conversations import Message, Role, Status
from parley.domain.errors import Conflict, InvalidRequest
from parley.domain.tools import ToolCall, ToolResult


def up_to_answered(history: Sequence[Message], results: Sequence[ToolResult]) -> Sequence[Message]:
    """The messages up to the reply whose calls these results answer.

    That is the newest whole reply: a turn behind it that failed or was stopped can be tried again.

    Args:
        history: messages in order of their number, the newest last.
        results: at least one.

    Raises:
        Conflict: a reply is still being made.
        InvalidRequest: the results aren't exactly those of the reply's calls.
    """
    for position, message in reversed(list(enumerate(history))):
        if message.status is Status.PENDING:
            raise Conflict("The newest reply is still being made; only then has it calls.")
        if message.role is Role.ASSISTANT and message.status is Status.COMPLETED:
            _check(message.tool_calls, results)
            return history[: position + 1]
    raise _refusal("There is no reply yet whose calls could have results.")


def result_of_each(
    calls: Iterable[ToolCall], results: Iterable[ToolResult]
) -> list[tuple[ToolCall, ToolResult | None]]:
    """Each call with its result; of several with one id, the first has the first result."""
    left = list(results)
    paired: list[tuple[ToolCall, ToolResult | None]] = []
    for call in calls:
        result = next((each for each in left if each.call_id == call.id), None)
        if result is not None:
            left.remove(result)
        paired.append((call, result))
    return paired


def are_of(calls: Sequence[ToolCall], results: Sequence[ToolResult]) -> bool:
    """Whether there is a result of each call and no other."""
    return sorted(call.id for call in calls) == sorted(result.call_id for result in results)


def _check(calls: Sequence[ToolCall], results: Sequence[ToolResult]) -> None:
    # What was sent isn't repeated, since it may be anything; the open calls are the caller's own.
    if not calls:
        raise _refusal("The newest reply has no calls, so there is nothing to give results of.")
    names = {call.id for call in calls}
    for number, result in enumerate(results, start=1):
        if result.call_id not in names:
            raise _refusal(
                f"Result {number} is of no open call; the newest reply's are {_listed(calls)}."
            )
    missing = [call for call, result in result_of_each(calls, results) if result is None]
    if missing:
        raise _refusal(
            f"All calls of a reply have their results together; {_listed(missing)} lack."
        )
    if len(results) > len(calls):
        raise _refusal("A call has one result; there are two of the same.")


def _listed(calls: Iterable[ToolCall]) -> str:
    return ", ".join(f"`{call.id}`" for call in calls)


def _refusal(message: str) -> InvalidRequest:
    return InvalidRequest(message, param="toolResults")
