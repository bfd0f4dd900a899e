"""GET /docs/{file}: what the documentation's page is made of."""

from starlette.requests import Request
from starlette.responses import Response

from parley.dialects.docs import DOCS
from parley.dialects.docs.document import FILE, document
from parley.dialects.docs.page import ASSETS, asset
from parley.edge.handler import lambda_handler
from parley.edge.routing import base_path, public_routes_of

router = public_routes_of(DOCS)


@router.get("/docs/{file}")
async def get_file(file: str, request: Request) -> Response:
    """Answer with the OpenAPI document, or with a file of Swagger UI's."""
    if file == FILE.name:
        return Response(document(base_path(request)), media_type="application/json")
    headers = {"cache-control": "public, max-age=86400"}
    return Response(asset(file), media_type=ASSETS[file], headers=headers)


handler = lambda_handler(router)
