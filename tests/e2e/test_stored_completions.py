"""Stored completions through openai-python, its strict validation on."""

from collections.abc import Iterator

import openai
import pytest

from tests.e2e.conftest import Stack


@pytest.fixture
def client(stack: Stack) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{stack.url}/v1",
        api_key="sk_test_conformance",
        _strict_response_validation=True,
    ) as client:
        yield client


def create(client: openai.OpenAI, **metadata: str) -> str:
    completion = client.chat.completions.create(
        model="gpt-6-astra",
        messages=[{"role": "user", "content": "Hello."}],
        store=True,
        metadata=metadata,
    )
    return completion.id


def test_a_stored_completion_is_retrieved_updated_and_deleted(client: openai.OpenAI) -> None:
    id_ = create(client, topic="bees")
    assert client.chat.completions.retrieve(id_).metadata == {"topic": "bees"}
    updated = client.chat.completions.update(id_, metadata={"topic": "ants"})
    assert updated.metadata == {"topic": "ants"}
    assert client.chat.completions.retrieve(id_) == updated
    deleted = client.chat.completions.delete(id_)
    assert (deleted.id, deleted.deleted) == (id_, True)
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.retrieve(id_)


def test_stored_completions_are_listed_by_metadata_page_by_page(client: openai.OpenAI) -> None:
    ids = [create(client, run="paging") for _ in range(3)]
    create(client, run="other")
    pages = client.chat.completions.list(metadata={"run": "paging"}, limit=2)
    assert len(pages.data) == 2
    assert [each.id for each in pages] == ids
    newest = client.chat.completions.list(metadata={"run": "paging"}, order="desc")
    assert [each.id for each in newest] == ids[::-1]


def test_a_streamed_completion_is_stored_before_the_stream_ends(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="any",
        messages=[{"role": "user", "content": "Hello."}],
        stream=True,
        store=True,
    )
    *_, last = stream
    stored = client.chat.completions.retrieve(last.id)
    assert stored.choices[0].message.content


def test_the_prompt_of_a_stored_completion_is_listed(stack: Stack) -> None:
    # The client's type knows assistants' messages only, so its strict validation stays off.
    with openai.OpenAI(base_url=f"{stack.url}/v1", api_key="sk_test_conformance") as client:
        id_ = create(client)
        messages = list(client.chat.completions.messages.list(id_, limit=1))
        assert [(each.id, each.content) for each in messages] == [(f"{id_}-0", "Hello.")]
