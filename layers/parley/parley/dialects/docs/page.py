"""Swagger UI: a page of our own around its script and its style sheet.

These come from the package fastapi-offline, which carries them for pages without a CDN, and it is
found without being imported. In a Lambda it is a layer of the one function that serves them.
"""

import base64
import hashlib
import importlib.util
from collections.abc import Mapping
from html import escape
from pathlib import Path

from parley.domain.errors import NotFound

_PACKAGE = "fastapi_offline"

ASSETS: Mapping[str, str] = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
}
"""Content types of the files by their names."""

_SCRIPT = """
const page = document.getElementById("swagger-ui");
SwaggerUIBundle({
  domNode: page,
  url: page.dataset.document,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
  layout: "BaseLayout",
  deepLinking: true,
  docExpansion: "list",
  validatorUrl: null,
});
"""

_SCRIPT_HASH = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()

SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        f"script-src 'self' 'sha256-{_SCRIPT_HASH}'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
"""Nothing is loaded from elsewhere, and no script runs but Swagger UI's and the one above."""


def page(base: str) -> str:
    """The page for browsers that reach the API under this path, such as `/prod`, or none."""
    docs = escape(f"{base}/docs", quote=True)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Parley</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{docs}/swagger-ui.css">
</head>
<body>
<div id="swagger-ui" data-document="{docs}/openapi.json"></div>
<script src="{docs}/swagger-ui-bundle.js"></script>
<script>{_SCRIPT}</script>
</body>
</html>
"""


def asset(name: str) -> bytes:
    """One of Swagger UI's own files.

    Raises:
        NotFound: it isn't one of them, or this function doesn't carry them.
    """
    package = importlib.util.find_spec(_PACKAGE)
    if name not in ASSETS or package is None or not package.submodule_search_locations:
        raise NotFound(f"There is nothing at /docs/{name}.")
    return Path(package.submodule_search_locations[0], "static", name).read_bytes()
