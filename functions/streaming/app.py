"""The application behind every streaming route.

Under the Lambda Web Adapter `run.sh` serves `app` and bytes leave as they are made; where nothing
can stream, `handler` answers with the same bytes all at once.
"""

from parley.edge.application import application
from parley.edge.handler import lambda_handler

from .apps import create_message, suggest_questions
from .openai import create_completion
from .personas import continue_session, create_session
from .sessions import resume_turn, send_message

ROUTERS = (
    create_completion.router,
    send_message.router,
    resume_turn.router,
    create_session.router,
    continue_session.router,
    create_message.router,
    suggest_questions.router,
)

app = application(*ROUTERS)
handler = lambda_handler(*ROUTERS)
