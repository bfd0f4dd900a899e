"""POST /v1/chat/completions: answer a prompt whose history the caller keeps."""

from starlette.responses import Response

from parley.bootstrap import services
from parley.dialects.openai import OPENAI, codec
from parley.dialects.openai.schema import CompletionBody, CompletionOut
from parley.edge.routing import CallerOf, routes_of
from parley.edge.sse import STREAMED, event_stream
from parley.services.choices import results, side_by_side

router = routes_of(OPENAI)


@router.post("/v1/chat/completions", response_model=CompletionOut, responses={200: STREAMED})
async def create_completion(body: CompletionBody, caller: CallerOf) -> CompletionOut | Response:
    """Answer a list of messages, at once or as a stream of chunks."""
    asked = codec.request(body)
    turns = await services().turns.complete_often(
        caller, asked, body.n or 1, dialect=OPENAI.name, user=body.user
    )
    events, metadata = side_by_side(turns), None
    if body.store:
        metadata = body.metadata or {}
        events = services().completions.kept(
            caller, asked, turns, user=body.user, metadata=metadata
        )
    if body.stream:
        return event_stream(codec.chunks(turns, events, include_usage=body.wants_usage))
    return codec.completion(
        await results(events),
        [turn.logprobs for turn in turns],
        service_tier=body.service_tier,
        metadata=metadata,
    )
