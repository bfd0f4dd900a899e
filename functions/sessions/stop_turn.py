"""POST /v1/turns/{turnId}/stop: end a turn of any dialect that is under way."""

from parley.bootstrap import services
from parley.dialects.sessions import SESSIONS, codec
from parley.dialects.sessions.schema import StoppedOut
from parley.edge.handler import lambda_handler
from parley.edge.routing import CallerOf, routes_of

router = routes_of(SESSIONS, for_every_api=True)


@router.post("/v1/turns/{turnId}/stop")
async def stop_turn(
    turnId: str,  # noqa: N803 - in camel case, as the sessions API writes names
    caller: CallerOf,
) -> StoppedOut:
    """Stop a reply where it is; what was said so far is kept. One that has ended stays as it is.

    `turnId` is the reply's id in whatever form its dialect shows it: a response's `x-parley-turn`.
    """
    turn = codec.any_reply_id(turnId)
    await services().turns.stop(caller, turn)
    return StoppedOut(id=turnId)


handler = lambda_handler(router)
