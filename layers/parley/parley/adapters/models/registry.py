"""The back ends a deployment carries, by name."""

from pathlib import Path

from parley.adapters.models.embedded import EmbeddedModel
from parley.adapters.models.scripted import ScriptedModel
from parley.domain.errors import ModelUnavailable
from parley.ports import Model


class BackEnds:
    """`embedded` and `scripted`; making them is cheap, using them may not be."""

    def __init__(self, *, embedded_gguf: str | None = None) -> None:
        """Take the settings of the back ends.

        Args:
            embedded_gguf: path of the embedded model's file; None takes the bundled one.
        """
        self._by_name: dict[str, Model] = {
            "embedded": EmbeddedModel(Path(embedded_gguf) if embedded_gguf else None),
            "scripted": ScriptedModel(),
        }

    def backend(self, name: str) -> Model:
        """The back end called `name`.

        Raises:
            ModelUnavailable: there is none.
        """
        model = self._by_name.get(name)
        if model is None:
            raise ModelUnavailable(f"This deployment has no model back end called `{name}`.")
        return model
