"""Lambda's entry for an operator's work that takes longer than a request may."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from parley.bootstrap import observe
from parley.dialects.admin import ADMIN
from parley.domain.errors import NotFound
from parley.edge.loops import loop_of_this_thread
from parley.telemetry import spans, work
from parley.telemetry.spans import Span
from parley.telemetry.traces import read

Event = Mapping[str, Any]
Handler = Callable[[Event, Any], None]


def errand_handler(erase: Callable[[str, str | None], Awaitable[None]]) -> Handler:
    """A handler for invocations that ask to erase; what fails is invoked again by Lambda."""

    async def observed(event: Event, request: str) -> None:
        span = Span("job erase", kind="consumer", parent=read(event))
        span.attributes["dialect"] = ADMIN.name
        tenant, user = event["erase"]["tenant"], event["erase"]["user"]
        status = 500
        with spans.entered(span, request_id=request, tenant=tenant):
            try:
                with suppress(NotFound):  # an earlier invocation has done it
                    await erase(tenant, user)
                status = 200
            finally:
                work.leave(span, status)

    def handler(event: Event, context: Any) -> None:
        observe()
        loop_of_this_thread().run_until_complete(observed(event, context.aws_request_id))

    return handler
