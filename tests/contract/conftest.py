"""Every model in turn, behind one fixture."""

from dataclasses import dataclass

import pytest

from parley.adapters.models.embedded import EmbeddedModel
from parley.adapters.models.scripted import ScriptedModel
from parley.ports import Model


@dataclass(frozen=True)
class Subject:
    """A model under test, and how to make it talk for longer than a test takes."""

    model: Model
    endless: str


@pytest.fixture(scope="session")
def embedded() -> EmbeddedModel:
    """The embedded model with its bundled file, loaded when the first test uses it."""
    return EmbeddedModel()


@pytest.fixture(params=["scripted", "embedded"])
def subject(request: pytest.FixtureRequest) -> Subject:
    """Every adapter of the Model port."""
    if request.param == "scripted":
        return Subject(
            ScriptedModel(), 'script: [{"text": "one two ", "repeat": 4000, "wait": 0.01}]'
        )
    return Subject(request.getfixturevalue("embedded"), "Write a long story about bees.")
