"""Cross-origin requests: which web pages may read what their browsers are answered.

A preflight comes without a credential, so it is the deployment's list of origins that answers it.
Then the tenant's own list decides on the answer itself. No answer ever allows `*` or credentials:
there are no cookies here, and a page that has no API key has nothing.
"""

import re
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from parley.bootstrap import allowed_origins
from parley.dialects import registry
from parley.domain.origins import admits
from parley.edge.observed import label

PREFLIGHT_SECONDS = 7200
"""How long a browser remembers what a preflight said; Chrome remembers nothing for longer."""

EXPOSED: Final = ", ".join(
    [
        "x-request-id",
        "traceparent",
        "retry-after",
        "idempotent-replayed",
        "x-parley-route",
        "x-parley-turn",
        "x-should-retry",
        "openai-processing-ms",
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
    ]
)
"""Headers of answers that scripts may read, besides those that they always may."""

_NAMES = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
_LONGEST_NAMES = 2000


class CrossOrigin:
    """Around an application: answers preflights, and says which pages may read its answers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; where the deployment has no origins, as if this weren't there."""
        if scope["type"] != "http" or not (origins := allowed_origins()):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin", "")
        is_allowed = admits(origins, origin) and origin != ""
        if is_allowed and (answer := _preflight(scope, headers)) is not None:
            await answer(scope, receive, send)
            return
        state = scope.setdefault("state", {})  # where routes note the caller

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent = MutableHeaders(scope=message)
                sent.add_vary_header("Origin")
                caller = state.get("caller")
                if is_allowed and (caller is None or origin in caller.tenant.origins):
                    sent["access-control-allow-origin"] = origin
                    sent["access-control-expose-headers"] = EXPOSED
            await send(message)

        await self._app(scope, receive, told)


def _preflight(scope: Scope, headers: Headers) -> Response | None:
    """The answer to a preflight from an allowed origin; None where the request is none."""
    if scope["method"] != "OPTIONS" or "access-control-request-method" not in headers:
        return None
    dialect, methods = registry.find(scope["path"])
    if methods is None:
        return None
    label(dialect.name, None)
    sent = {
        "access-control-allow-origin": headers["origin"],
        "access-control-allow-methods": methods,
        "access-control-max-age": str(PREFLIGHT_SECONDS),
        "vary": "Origin, Access-Control-Request-Headers",
    }
    names = headers.get("access-control-request-headers", "")
    if len(names) <= _LONGEST_NAMES and _NAMES.fullmatch(names):
        # Any may be sent: what a request may do depends on its credential alone.
        sent["access-control-allow-headers"] = names
    return Response(status_code=204, headers=sent)
