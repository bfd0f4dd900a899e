"""The consultant as its documentation calls it, and catalogues as an operator loads them."""

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from local import LAYER, ROOT
from local.demo_catalogue import PRODUCTS, demo_catalogue
from tests.e2e.conftest import Stack

SCRIPTED = "sk_test_conformance"
SOLD = {product.id: product for product in demo_catalogue().products}


@pytest.fixture
def scripted(stack: Stack) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {SCRIPTED}"
        yield session


def ask(session: requests.Session, stack: Stack, message: str, **fields: Any) -> Any:
    reply = session.post(
        f"{stack.url}/api/v1/chat", json={"message": message, **fields}, timeout=60
    )
    assert reply.status_code == 200, reply.text
    return reply.json()


def categories(product_ids: list[int]) -> set[str]:
    return {SOLD[product].attributes["category"] for product in product_ids}


def script(*steps: dict[str, Any]) -> str:
    return "script:" + json.dumps(steps)


@pytest.mark.parametrize("base", ["/v1", "/api/v1"])
def test_the_documents_examples(stack: Stack, base: str) -> None:
    url = f"{stack.url}{base}/chat"
    headers = {"Authorization": f"Bearer {SCRIPTED}"}
    sent = requests.post(
        url,
        headers=headers,
        json={"message": "Which running shoes do you recommend?", "stream": False},
        timeout=60,
    )
    assert sent.status_code == 200
    reply = sent.json()
    assert reply["response"]
    assert categories(reply["product_ids"]) == {"running shoes"}
    history = requests.get(f"{url}/{reply['chat_id']}/messages", headers=headers, timeout=60)
    question, answer = history.json()
    assert question["content"] == "Which running shoes do you recommend?"
    assert (question["is_from_user"], answer["is_from_user"]) == (True, False)
    assert (answer["id"], answer["content"]) == (reply["message_id"], reply["response"])
    assert question["created_at"].endswith("Z")


@pytest.mark.timeout(300)  # a small model may talk at length
@pytest.mark.parametrize(("base", "key"), [("/v1", SCRIPTED), ("/api/v1", "sk_test_demo")])
def test_the_documents_reader_of_the_stream(stack: Stack, base: str, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    response = requests.post(
        f"{stack.url}{base}/chat/stream",
        headers=headers,
        json={"message": "Tell me about products"},
        stream=True,
        timeout=60,
    )
    kinds = []
    shown = ""
    lines: Iterator[Any] = response.iter_lines()
    for line in lines:
        if line:
            line = line.decode("utf-8")  # noqa: PLW2901 - as the documentation has it
            if line.startswith("data: "):
                data = json.loads(line[6:])
                kinds.append(data["type"])
                if data["type"] == "products":
                    product_ids = data["data"]["product_ids"]
                elif data["type"] == "text":
                    shown += data["data"]["content"]
                elif data["type"] == "done":
                    chat_id = data["data"]["chat_id"]
    assert kinds[0] == "products"
    assert kinds[-1] == "done"
    assert set(kinds[1:-1]) == {"text"}
    assert len(categories(product_ids)) == len(product_ids) > 1
    history = f"{stack.url}{base}/chat/{chat_id}/messages"
    stored = requests.get(history, headers=headers, timeout=60).json()
    assert stored[-1]["content"] == shown
    assert stored[-1]["product_ids"] == product_ids


def test_the_products_found_reach_the_model_and_no_others(
    scripted: requests.Session, stack: Stack
) -> None:
    # The scripted model wants its script alone, so the question that is searched with stands in it.
    message = script({"echo": "request"}, {"text": ""}) + "\n" * 3
    reply = ask(scripted, stack, "Which running shoes do you recommend?")
    found = [SOLD[product] for product in reply["product_ids"]]
    assert found
    follow_up = ask(scripted, stack, message, chat_id=reply["chat_id"])
    told = json.loads(follow_up["response"])["messages"]
    assert told[0]["role"] == "system"
    listed = [line for line in told[0]["text"].splitlines() if line.startswith("- ")]
    assert [SOLD[product].name for product in follow_up["product_ids"]] == [
        line[2:].partition(" (")[0] for line in listed
    ]
    assert told[1]["text"] == "Which running shoes do you recommend?"


@pytest.mark.parametrize(
    "question",
    ["Which running shoes do you recommend?", "Какие кроссовки для бега вы посоветуете?", "የሩጫ ጫማ"],
)
def test_a_question_in_any_language_finds_what_is_described_in_english(
    scripted: requests.Session, stack: Stack, question: str
) -> None:
    found = ask(scripted, stack, question)["product_ids"]
    assert SOLD[found[0]].attributes["category"] == "running shoes"
    assert all(SOLD[product].stock > 0 for product in found)


@pytest.mark.parametrize("sentence", ["Hello!", "Спасибо", "አመሰግናለሁ"])
def test_who_asks_for_nothing_is_offered_nothing(
    scripted: requests.Session, stack: Stack, sentence: str
) -> None:
    assert ask(scripted, stack, sentence)["product_ids"] == []


def test_a_question_that_refers_back_finds_what_was_spoken_of(
    scripted: requests.Session, stack: Stack
) -> None:
    chat = ask(scripted, stack, "Which running shoes do you recommend?")["chat_id"]
    found = ask(scripted, stack, "And cheaper ones?", chat_id=chat)["product_ids"]
    assert categories(found) == {"running shoes"}
    assert ask(scripted, stack, "Thank you", chat_id=chat)["product_ids"] == []
    assert ask(scripted, stack, "And cheaper ones?")["product_ids"] == []


def test_products_arrive_before_the_model_has_said_anything(
    scripted: requests.Session, stack: Stack
) -> None:
    arrived: dict[str, float] = {}
    steps = script({"text": ""}, {"wait": 0.6}, {"text": "late"})
    with scripted.post(
        f"{stack.url}/api/v1/chat/stream", json={"message": steps}, stream=True, timeout=60
    ) as reply:
        for line in reply.iter_lines():
            if line.startswith(b"data: "):
                arrived.setdefault(json.loads(line[6:])["type"], time.monotonic())
    assert arrived["text"] - arrived["products"] > 0.4


# ---- Loading a catalogue ------------------------------------------------------------------------


def load(stack: Stack, tenant: str, file: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "admin", "catalogue", "load", tenant, str(file)],
        cwd=ROOT,
        env={**os.environ, "DATA_DIR": str(stack.data_dir), "PYTHONPATH": str(LAYER)},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )


def a_line(number: int, name: str) -> str:
    product = {
        "id": number,
        "name": name,
        "description": f"A {name} for every day.",
        "price": "10.00",
        "currency": "EUR",
        "url": f"https://shop.example/{number}",
        "stock": 5,
    }
    return json.dumps(product) + "\n"


def test_a_catalogue_is_loaded_for_the_running_stack(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "products.jsonl"
    file.write_text(a_line(1, "red umbrella") + a_line(2, "wooden spoon"))
    loaded = load(stack, "limited", file)
    assert loaded.returncode == 0, loaded.stderr
    assert "2 products now" in loaded.stdout
    again = load(stack, "limited", file)
    assert again.returncode == 0
    assert "nothing has changed" in again.stdout


def test_a_wrong_line_changes_nothing(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "products.jsonl"
    file.write_text(a_line(1, "red umbrella") + '{"id": 2}\n')
    refused = load(stack, "conformance", file)
    assert refused.returncode == 1
    assert "line 2: name" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_catalogue_of_nobody_is_refused(stack: Stack) -> None:
    refused = load(stack, f"nobody-{uuid.uuid4().hex}", PRODUCTS)
    assert refused.returncode == 1
    assert "There is no tenant" in refused.stderr


def test_without_a_stack_the_loader_says_how_to_start_one(tmp_path: Path) -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "admin", "catalogue", "load", "demo", str(PRODUCTS)],
        cwd=ROOT,
        env={**os.environ, "DATA_DIR": str(tmp_path), "PYTHONPATH": str(LAYER)},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert refused.returncode == 1
    assert "make dev" in refused.stderr


def test_many_customers_are_answered_at_once(stack: Stack) -> None:
    together = threading.Barrier(8)
    found: list[list[int]] = []

    def speak() -> None:
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {SCRIPTED}"
            together.wait()
            reply = ask(session, stack, "Which running shoes do you recommend?")
            found.append(reply["product_ids"])

    threads = [threading.Thread(target=speak) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert found[0]
    assert all(product_ids == found[0] for product_ids in found)
