"""GET /docs: every route of every API, on a page to read and to try them on."""

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from parley.dialects.docs import DOCS
from parley.dialects.docs.page import SECURITY_POLICY, page
from parley.edge.handler import lambda_handler
from parley.edge.routing import base_path, public_routes_of

router = public_routes_of(DOCS)


@router.get("/docs")
async def get_docs(request: Request) -> Response:
    """Show the documentation."""
    headers = {"content-security-policy": SECURITY_POLICY, "cache-control": "no-cache"}
    return HTMLResponse(page(base_path(request)), headers=headers)


handler = lambda_handler(router)
