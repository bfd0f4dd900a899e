"""POST /v1/chat/completions: answer a prompt whose history the caller keeps."""

from starlette.responses import Response

from parley.bootstrap import services
from parley.dialects.openai import OPENAI, codec
from parley.dialects.openai.schema import CompletionBody, CompletionOut
from parley.edge.routing import CallerOf, routes_of
from parley.edge.sse import STREAMED, event_stream

router = routes_of(OPENAI)


@router.post("/v1/chat/completions", response_model=CompletionOut, responses={200: STREAMED})
async def create_completion(body: CompletionBody, caller: CallerOf) -> CompletionOut | Response:
    """Answer a list of messages, at once or as a stream of chunks."""
    turn = await services().turns.complete(
        caller,
        dialect=OPENAI.name,
        model=body.model,
        messages=codec.prompt(body),
        parameters=codec.parameters(body),
        user=body.user,
    )
    if body.stream:
        return event_stream(codec.chunks(turn, include_usage=body.wants_usage))
    return codec.completion(await turn.result())
