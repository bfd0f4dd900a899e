"""POST /api/chat/get_token: a token that speaks for one user, made with an API key.

What is kept of an answer, for a request that comes again, is the token without its signature: the
table can't be used to speak for anybody.
"""

import json

from parley.bootstrap import services
from parley.dialects.personas import PERSONAS, codec
from parley.dialects.personas.schema import TokenBody, TokenOut
from parley.domain.tenants import Caller
from parley.edge.handler import lambda_handler
from parley.edge.once import Keeping
from parley.edge.routing import CallerOf, routes_of


async def without_signature(body: str, _caller: Caller) -> str:
    """What is kept of an answer."""
    token = json.loads(body)["token"]
    return body.replace(token, services().tokens.unsigned(token))


async def signed_again(kept: str, caller: Caller) -> str:
    """The answer, with the very token that it had."""
    unsigned = json.loads(kept)["token"]
    return kept.replace(unsigned, await services().tokens.sign_again(caller, unsigned))


router = routes_of(PERSONAS, keeping=Keeping(shorten=without_signature, restore=signed_again))


@router.post("/api/chat/get_token")
async def get_token(body: TokenBody, caller: CallerOf) -> TokenOut:
    """Issue a token for a user and a persona; it takes an API key, never another token.

    The token works for an hour on every route of every API here, as that user and as no other.
    """
    selected = await services().personas.select(caller, codec.selector(body.persona))
    token, expires_at = await services().tokens.issue(caller, body.user_id, selected.ref)
    return TokenOut(token=token, expires_at=expires_at)


handler = lambda_handler(router)
