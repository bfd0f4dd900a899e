"""Answer an event as a fresh function does, and again, and print the times this took.

    python first_reply.py MODULE EVENT_FILE

The last line of the output is JSON: `cpu`, seconds of processor time used by this process until the
interpreter had started, the handler was imported, the clients of AWS services were made, it had
answered, and had answered again; `at`, the monotonic clock at the first answer; `status`, of that.
"""

import time

STARTED = time.process_time()

import importlib  # noqa: E402 - what is imported from here on counts
import json  # noqa: E402
import sys  # noqa: E402
from types import SimpleNamespace  # noqa: E402


def main() -> None:
    """Import, answer, print."""
    module, event_file = sys.argv[1:]
    handler = importlib.import_module(module).handler
    imported = time.process_time()
    importlib.import_module("parley.bootstrap").services()
    connected = time.process_time()
    with open(event_file, encoding="utf-8") as file:  # noqa: PTH123 - pathlib is not this program's to import
        event = json.load(file)
    context = SimpleNamespace(aws_request_id="first", function_name="bench")
    answer = handler(event, context)
    replied, at = time.process_time(), time.monotonic()
    handler(event, context)
    cpu = STARTED, imported, connected, replied, time.process_time()
    print(json.dumps({"cpu": cpu, "at": at, "status": answer["statusCode"]}))


main()
