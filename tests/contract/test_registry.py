"""Back ends by name."""

import pytest

from parley.adapters.models.registry import BackEnds
from parley.domain.errors import ModelUnavailable


@pytest.mark.parametrize("name", ["embedded", "scripted"])
def test_a_back_end_is_one_and_the_same_however_often_it_is_asked_for(name: str) -> None:
    back_ends = BackEnds()

    assert back_ends.backend(name) is back_ends.backend(name)


def test_a_back_end_that_is_not_carried_is_unavailable() -> None:
    with pytest.raises(ModelUnavailable, match="`bedrock`"):
        BackEnds().backend("bedrock")
