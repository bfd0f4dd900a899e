"""POST /v1/chat/completions: answer a prompt whose history the caller keeps."""

from starlette.responses import Response

from parley.bootstrap import services
from parley.dialects.openai import OPENAI, codec
from parley.dialects.openai.schema import CompletionBody, CompletionOut
from parley.edge.listening import ListenerOf
from parley.edge.routing import CallerOf, routes_of
from parley.edge.sse import STREAMED
from parley.services.choices import results, side_by_side

router = routes_of(OPENAI, begins_turns=True)


@router.post("/v1/chat/completions", response_model=CompletionOut, responses={200: STREAMED})
async def create_completion(
    body: CompletionBody, caller: CallerOf, listener: ListenerOf
) -> CompletionOut | Response:
    """Answer a list of messages, at once or as a stream of chunks."""
    asked = codec.request(body)
    choices = body.n or 1
    turns = await services().turns.complete_often(
        caller,
        asked,
        choices,
        dialect=OPENAI.name,
        user=body.user,
        telling=codec.telling(body, choices=choices) if body.stream else {},
        once=listener.once,
    )
    events, metadata = side_by_side(turns), None
    if body.store:
        metadata = body.metadata or {}
        events = services().completions.kept(
            caller, asked, turns, user=body.user, metadata=metadata
        )
    if body.stream:
        chunks = codec.chunks(turns, events, include_usage=body.wants_usage)
        return listener.stream(codec.WIRE, turns[0], chunks)
    return codec.completion(
        await listener.all(results(events), turns),
        [turn.logprobs for turn in turns],
        service_tier=body.service_tier,
        metadata=metadata,
    )
