"""The application behind the consultant's routes that ask a model.

A function of its own: its layer carries the search model and numpy, and no other function pays for
them. `run.sh` serves `app`; where nothing can stream, `handler` answers.
"""

from parley.bootstrap_search import consultant
from parley.edge.application import application
from parley.edge.handler import lambda_handler

from .consultant import send_message, stream_message

ROUTERS = (send_message.router, stream_message.router)


async def warm_up() -> None:
    """Load the search model."""
    await consultant().warm_up()


app = application(*ROUTERS, warm_up=warm_up)
handler = lambda_handler(*ROUTERS)
