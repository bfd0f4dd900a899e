"""GET /openapi.json: every route of every API, for programs."""

from starlette.requests import Request
from starlette.responses import Response

from parley.dialects.docs import DOCS
from parley.dialects.docs.document import document
from parley.edge.handler import lambda_handler
from parley.edge.routing import base_path, public_routes_of

router = public_routes_of(DOCS)


@router.get("/openapi.json")
async def get_openapi(request: Request) -> Response:
    """Answer with the OpenAPI document."""
    return Response(document(base_path(request)), media_type="application/json")


handler = lambda_handler(router)
