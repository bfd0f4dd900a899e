"""The back ends a deployment carries, made when they are first needed."""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path

from parley.adapters.models.embedded import EmbeddedModel
from parley.adapters.models.scripted import ScriptedModel
from parley.adapters.secrets import MemorySecrets
from parley.domain.errors import ModelUnavailable
from parley.domain.routes import ModelRoute, upstream_secret
from parley.ports import Model, Secrets

NO_SECRETS = MemorySecrets({})
"""For where no upstream asks for a key."""

CONTEXT_WINDOW = 8192
"""Tokens, of a remote model whose route doesn't say."""

ENDPOINTS_KEPT = 64
"""The ones that were used last; each keeps connections."""


class BackEnds:
    """`embedded` and `scripted` in this process; `bedrock` and `openai_compatible` elsewhere.

    Making one is cheap but for the libraries that the latter two import, so they are made when a
    route first leads there: one for each endpoint, which keeps its connections.
    """

    def __init__(
        self,
        secrets: Secrets = NO_SECRETS,
        *,
        stack: str = "parley",
        embedded_gguf: str | None = None,
    ) -> None:
        """Take the settings of the back ends.

        Args:
            secrets: where the keys of upstreams are kept.
            stack: the deployment's name, with which the names of those secrets begin.
            embedded_gguf: path of the embedded model's file; None takes the bundled one.
        """
        self._secrets = secrets
        self._stack = stack
        self._here: dict[str, Model] = {
            "embedded": EmbeddedModel(Path(embedded_gguf) if embedded_gguf else None),
            "scripted": ScriptedModel(),
        }
        self._elsewhere: dict[str, Callable[[ModelRoute], Model]] = {
            "bedrock": _bedrock,
            "openai_compatible": self._openai_compatible,
        }
        self._endpoints: OrderedDict[ModelRoute, Model] = OrderedDict()

    def backend(self, name: str) -> Model:
        """The back end of this process called `name`.

        Raises:
            ModelUnavailable: there is none.
        """
        model = self._here.get(name)
        if model is None:
            raise _missing(name)
        return model

    def serving(self, route: ModelRoute) -> Model:
        """The back end that a route leads to.

        Raises:
            ModelUnavailable: there is none.
        """
        if not route.remote:
            return self.backend(route.backend)
        endpoint = route.endpoint
        model = self._endpoints.get(endpoint)
        if model is None:
            make = self._elsewhere.get(route.backend)
            if make is None:
                raise _missing(route.backend)
            model = self._endpoints[endpoint] = make(endpoint)
            if len(self._endpoints) > ENDPOINTS_KEPT:
                self._endpoints.popitem(last=False)
        self._endpoints.move_to_end(endpoint)
        return model

    def _openai_compatible(self, endpoint: ModelRoute) -> Model:
        from parley.adapters.models.openai_compatible import OpenAICompatibleModel  # noqa: PLC0415

        if endpoint.base_url is None:
            raise ModelUnavailable("A route to an OpenAI-compatible server names none.")
        key = None
        if endpoint.secret is not None:
            key = partial(self._secrets.get, upstream_secret(self._stack, endpoint.secret))
        return OpenAICompatibleModel(
            endpoint.base_url,
            context_window=endpoint.context_window or CONTEXT_WINDOW,
            key=key,
            headers=dict(endpoint.headers),
            limits=endpoint.limits,
            max_tokens_field=endpoint.max_tokens_field,
        )


def _bedrock(endpoint: ModelRoute) -> Model:
    from parley.adapters.models.bedrock import BedrockModel, connect_to_bedrock  # noqa: PLC0415

    return BedrockModel(
        context_window=endpoint.context_window or CONTEXT_WINDOW,
        connect=partial(connect_to_bedrock, region=endpoint.region, limits=endpoint.limits),
        limits=endpoint.limits,
        streaming=endpoint.streaming,
    )


def _missing(name: str) -> ModelUnavailable:
    return ModelUnavailable(f"This deployment has no model back end called `{name}`.")
