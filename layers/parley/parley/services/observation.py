"""What an operator learns of a turn: how long, how much, how it ended; never what was said."""

from typing import Final

from parley.domain.conversations import Message
from parley.domain.errors import ParleyError
from parley.domain.tenants import CATCH_ALL, Caller
from parley.domain.turns import Accepted, Completed, ModelEvent
from parley.telemetry import spans
from parley.telemetry.spans import Span

_SETS: Final = ((), ("Dialect", "Model"))
"""What metrics of turns are kept by."""


def leave_for_dead(reply: Message) -> None:
    """Leave the line of a turn whose process died before it could, as whoever found it settled it.

    It tells no durations and no model: what a catch-all serves is known to a living turn alone.
    """
    found_by = spans.current()
    span = Span("chat", kind="internal", parent=found_by.trace if found_by else None)
    span.attributes |= {"gen_ai.operation.name": "chat", "status": reply.status.value}
    span.error = reply.error
    span.measure("Turns", 1)
    span.measure("FailedTurns", 1)
    with spans.entered(span, turn_id=str(reply.id)):
        span.end({}, ((),))


class TurnWatch:
    """Sees a turn through and leaves its line; nothing it does can fail or delay the turn."""

    def __init__(self, caller: Caller, reply: Message, *, dialect: str) -> None:
        """Begin to watch; from now on the task's lines carry the id of its first turn."""
        name = reply.model or CATCH_ALL
        # A catch-all serves whatever name a caller makes up, and each would be a metric.
        self._model = name if name in caller.tenant.models else CATCH_ALL
        self._dialect = dialect
        asked = spans.current()
        self._waited_ms = asked.elapsed_ms if asked else 0.0
        parent = asked.trace if asked else None
        self._span = Span(f"chat {self._model}", kind="internal", parent=parent)
        self._is_first = True
        self._turn_id = str(reply.id)
        if "turn_id" not in spans.bound():
            spans.bind(turn_id=self._turn_id, tenant=caller.tenant.id)
        self._span.attributes |= {
            "dialect": dialect,
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": self._model,
        }

    def enter(self) -> None:
        """Count what this task does from now on as part of the turn."""
        self._span.enter()
        spans.bind(turn_id=self._turn_id)

    def heard(self, event: ModelEvent) -> None:
        """Note what the model has yielded."""
        if isinstance(event, Accepted):
            if event.route is not None:
                self._span.attributes["route"] = event.route.label
        elif self._is_first and not isinstance(event, Completed):
            self._is_first = False
            took = self._span.elapsed_ms
            # What a caller waits for began when the request came in.
            self._span.measure("TimeToFirstToken", self._waited_ms + took)
            self._span.attributes["model_first_token_ms"] = round(took, 1)

    def spent(self, share: float) -> None:
        """Note what share of the tenant's budget settled turns have used."""
        self._span.measure("BudgetUsed", 100 * share)

    def ended(self, reply: Message, error: ParleyError | None) -> None:
        """Leave the line."""
        span = self._span
        span.measure("Turns", 1)
        span.attributes["status"] = reply.status.value
        if reply.finish_reason is not None:
            span.attributes["gen_ai.response.finish_reasons"] = [reply.finish_reason.value]
        if reply.usage is not None:
            span.measure("InputTokens", reply.usage.prompt_tokens)
            span.measure("OutputTokens", reply.usage.completion_tokens)
        if error is not None:
            span.error = error.code
            span.measure("FailedTurns", 1)
        span.end({"Dialect": self._dialect, "Model": self._model}, _SETS)
