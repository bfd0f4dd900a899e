"""POST /api/chat/get_token: a token that speaks for one user, made with an API key."""

from parley.bootstrap import services
from parley.dialects.personas import PERSONAS, codec
from parley.dialects.personas.schema import TokenBody, TokenOut
from parley.edge.handler import lambda_handler
from parley.edge.routing import CallerOf, routes_of

router = routes_of(PERSONAS)


@router.post("/api/chat/get_token")
async def get_token(body: TokenBody, caller: CallerOf) -> TokenOut:
    """Issue a token for a user and a persona; it takes an API key, never another token.

    The token works for an hour on every route of every API here, as that user and as no other.
    """
    selected = await services().personas.select(caller, codec.selector(body.persona))
    token, expires_at = await services().tokens.issue(caller, body.user_id, selected.ref)
    return TokenOut(token=token, expires_at=expires_at)


handler = lambda_handler(router)
