"""What a function's process writes where AWS reads it: as Lambda runs it, and under its adapter."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local import LAYER, ROOT, TEMPLATE, environment, sockets
from local.template import load

AS_LAMBDA = """
import importlib, json, logging, sys, types

class LambdaLoggerHandler(logging.Handler):
    def emit(self, record):
        print("not a line:", record.getMessage())

logging.getLogger().addHandler(LambdaLoggerHandler())
handler = importlib.import_module(sys.argv[1]).handler
event = json.load(open(sys.argv[2], encoding="utf-8"))
handler(event, types.SimpleNamespace(aws_request_id="4c7a1f0e"))
logging.getLogger("botocore").warning("of a library")
"""


def variables(**more: str) -> dict[str, str]:
    ours = environment.of_functions(load(TEMPLATE), {}, "http://127.0.0.1:9")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**ours, "PATH": path, "PYTHONPATH": os.pathsep.join([str(LAYER), str(ROOT)]), **more}


def test_a_function_that_needs_no_services_writes_its_lines_all_the_same() -> None:
    event = ROOT / "events" / "health" / "get_health.json"
    done = subprocess.run(
        [sys.executable, "-c", AS_LAMBDA, "functions.health.get_health", str(event)],
        env=variables(PARLEY_LOG_LEVEL="ERROR"),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    request, library = map(json.loads, done.stdout.splitlines())
    assert request["span_name"] == "GET /health"
    assert request["Requests"] == 1
    assert library["message"] == "of a library"


@contextmanager
def served() -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """The streaming function's own script, its output a pipe as under the adapter."""
    with sockets.listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [ROOT / "functions" / "streaming" / "run.sh"],
        env=variables(PORT=str(port), LAMBDA_TASK_ROOT=str(ROOT / "functions")),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_behind_the_adapter_a_line_is_written_at_once_and_by_the_server_too() -> None:
    with served() as (url, process):
        deadline = time.monotonic() + 30
        while True:
            try:
                with urllib.request.urlopen(f"{url}/health", timeout=5) as reply:  # noqa: S310 - ours
                    parent = reply.headers["traceparent"]
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())  # while the server still runs
        assert line["trace_id"] == parent.split("-")[1]
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(b'no request at all\n{"forged": 1}\r\n\r\n')
            connection.recv(1024)
        complaint = json.loads(process.stdout.readline())
        assert complaint["logger"] == "uvicorn.error"
