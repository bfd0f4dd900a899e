"""The process that answers on the local port: every route's handler, and the embedded model."""

import argparse
import asyncio
import logging
import sys
from socket import socket

import uvicorn

from local import TEMPLATE, sockets
from local.frames import Frames
from local.processes import FAILED, READY, end_with_parent, report
from local.socket_gateway import MAX_MESSAGE_BYTES
from local.stack import LocalStack
from local.template import load
from parley.adapters.models.embedded import EmbeddedModel
from parley.bootstrap import services
from parley.domain.errors import ModelUnavailable

GRACE_SECONDS = 2
"""How long replies under way may take to end when the process is told to."""


def main() -> int:
    """Serve until told to stop."""
    end_with_parent()
    parser = argparse.ArgumentParser(prog="python -m local.front_door", description=__doc__)
    parser.add_argument("--listener", type=int, required=True, help="an open socket")
    listener = sockets.inherited(parser.parse_args().listener)
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stdout)
    logging.raiseExceptions = False  # when nobody listens any more, that isn't worth a traceback
    logging.getLogger("local").setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    report("importing the handlers")
    stack = LocalStack(load(TEMPLATE))
    report("loading the model")
    try:
        asyncio.run(load_model())
    except ModelUnavailable as error:
        report(f"{FAILED}{error.message} PARLEY_EMBEDDED_GGUF is the path of another.")
        return 1
    serve(stack, listener)
    return 0


async def load_model() -> None:
    """Load the embedded model now, so that no request waits for it.

    Raises:
        ModelUnavailable: its file or its library is missing or broken; the message says which.
    """
    model = services().models.backend("embedded")
    if isinstance(model, EmbeddedModel):
        await model.load()


def serve(stack: LocalStack, listener: socket) -> None:
    """Answer on a socket until a signal comes."""
    _Server(configuration(stack)).run(sockets=[listener])


def configuration(stack: LocalStack) -> uvicorn.Config:
    """How the stack is served: as API Gateway would, as far as that is up to the server."""
    return uvicorn.Config(
        stack,
        access_log=False,
        lifespan="on",
        log_config=None,
        proxy_headers=False,  # API Gateway believes nobody's word on where a request comes from
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=60,
        ws=Frames,
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,  # which API Gateway doesn't offer
        ws_ping_interval=None,  # nor does it look after its clients
    )


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a record is worth showing: that a reply is cut off at a stop was said before."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            report(READY)


if __name__ == "__main__":
    sys.exit(main())
