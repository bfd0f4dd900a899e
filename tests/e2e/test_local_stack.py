"""The local stack's life: started, stopped, killed, refused and reloaded."""

import json
import os
import signal
import socket
from pathlib import Path

import httpx
import pytest

from local import ROOT
from local.folder import Folder, FolderBusyError
from tests.e2e.conftest import Stack, StackFailedError, running

SCRIPT = "script:" + json.dumps([{"text": "ሰላም ", "wait": 0.05, "repeat": 40}])


def client(stack: Stack) -> httpx.Client:
    headers = {"Authorization": "Bearer sk_test_conformance"}
    return httpx.Client(base_url=stack.url, headers=headers, timeout=30)


def history(http: httpx.Client, chat: str) -> list[str]:
    reply = http.get(f"/v1/chat/{chat}/history")
    return [message["content"] for message in reply.json()["messages"]]


def assert_all_processes_ended(data_dir: Path) -> None:
    """Every process of a stack holds its folder's lock, and so the last has let go of it."""
    Folder(data_dir).close()


def test_whatever_ends_it_no_process_stays_and_no_reply_under_way_is_lost(tmp_path: Path) -> None:
    chats: list[str] = []
    for number, code in (
        (signal.SIGINT, 0),
        (signal.SIGTERM, 0),
        (signal.SIGKILL, -signal.SIGKILL),
    ):
        with running(tmp_path) as stack, client(stack) as http:
            for earlier in chats:
                assert history(http, earlier) == [SCRIPT, "ሰላም " * 40]
            chats.append(http.post("/v1/chats", json={"model": "any"}).json()["id"])
            body = {"content": SCRIPT, "stream": True}
            with http.stream("POST", f"/v1/chat/{chats[-1]}", json=body) as reply:
                assert next(reply.iter_lines())
                assert stack.stop(number) == code
            assert_all_processes_ended(tmp_path)

    with running(tmp_path) as stack, client(stack) as http:
        for earlier in chats:
            assert history(http, earlier) == [SCRIPT, "ሰላም " * 40]


def test_the_screen_shows_where_everything_is(stack: Stack) -> None:
    shown = stack.printed()

    for expected in (
        f"{stack.url}/v1",
        f"{stack.url}/docs",
        "sk_test_demo",
        "sk_prod_demo",
        "curl",
    ):
        assert expected in shown


def test_a_busy_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(StackFailedError) as refused:
            Stack(tmp_path, PORT=str(port))

    [sentence] = str(refused.value).strip().splitlines()
    assert f"Port {port} is taken" in sentence


def test_a_missing_model_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StackFailedError) as refused:
        Stack(tmp_path, PARLEY_EMBEDDED_GGUF=str(tmp_path / "none.gguf"))

    progress, sentence = str(refused.value).strip().split("✗")
    assert "none.gguf" in sentence
    assert len(sentence.splitlines()) == 1
    assert "Traceback" not in progress
    assert_all_processes_ended(tmp_path)


def test_a_folder_serves_one_stack_at_a_time(stack: Stack) -> None:
    with pytest.raises(FolderBusyError, match=str(stack.process.pid)):
        Folder(stack.data_dir)


def test_a_change_of_code_is_taken_up_while_clients_wait(tmp_path: Path) -> None:
    with running(tmp_path, RELOAD="1") as stack, client(stack) as http:
        os.utime(ROOT / "functions" / "openai" / "list_models.py")
        stack.wait_until_ready()

        assert http.get("/v1/models").status_code == 200
        assert stack.stop() == 0
        assert "functions/openai/list_models.py changed" in stack.printed()
        assert_all_processes_ended(tmp_path)
