"""The pages of the exchange, and the headers by which browsers keep its answers safe.

No page loads anything from elsewhere, and each says so: its policy names by their digests the scripts that stand in it,
and else allows what this server serves. All other answers allow nothing, and are not kept by anybody.
"""

import base64
import hashlib
import re
from importlib import resources
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse

from api.stream import asyncapi

STATIC = "/static-offline-docs"
Headers = list[tuple[bytes, bytes]]

_OURS: Headers = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]
_FRAMELESS = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
# Statements as HTML bring their style along.
_ANSWER = f"default-src 'none'; style-src 'unsafe-inline'; {_FRAMELESS}"
OF_ANSWERS: Headers = [
    *_OURS,
    (b"cache-control", b"no-store"),
    (b"content-security-policy", _ANSWER.encode()),
]
_PATHS = frozenset({"/", "/docs", "/redoc", "/asyncapi"})


def headers_for(path: str) -> Headers:
    """What an answer says besides; a page has its policy itself."""
    if path.startswith("/v1/"):
        return OF_ANSWERS
    return _OURS if path in _PATHS or path.startswith(STATIC) else OF_ANSWERS


def add_pages(app: FastAPI) -> None:
    """Serve the market, the documentation of the API, and that of the stream."""
    icon = f"{STATIC}/favicon.png"
    docs = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=f"{app.title}: API",
        swagger_js_url=f"{STATIC}/swagger-ui-bundle.js",
        swagger_css_url=f"{STATIC}/swagger-ui.css",
        swagger_favicon_url=icon,
    )
    redoc = get_redoc_html(
        openapi_url="/openapi.json",
        title=f"{app.title}: API",
        redoc_js_url=f"{STATIC}/redoc.standalone.js",
        redoc_favicon_url=icon,
        with_google_fonts=False,
    )
    _add(app, "/", resources.files("api.web").joinpath("index.html").read_text("utf-8"))
    _add(app, "/docs", bytes(docs.body).decode())
    _add(app, "/redoc", bytes(redoc.body).decode())
    _add(app, "/asyncapi", asyncapi.page())

    @app.get("/asyncapi.json", include_in_schema=False)
    async def stream_document() -> dict[str, Any]:
        return asyncapi.document()


def _add(app: FastAPI, path: str, text: str) -> None:
    headers = {"content-security-policy": policy_of(text), "cache-control": "no-cache"}

    async def page() -> HTMLResponse:
        return HTMLResponse(text, headers=headers)

    app.add_api_route(path, page, include_in_schema=False, response_class=HTMLResponse)


def policy_of(page: str) -> str:
    """What a page may load: its own scripts, and what this server has. Pictures, and scripts that a page makes for
    itself in the background, may be part of it.
    """
    digests = [hashlib.sha256(script.encode()).digest() for script in re.findall(r"<script>(.*?)</script>", page, re.S)]
    scripts = " ".join(["'self'", *(f"'sha256-{base64.b64encode(one).decode()}'" for one in digests)])
    return (
        f"default-src 'self'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        f"worker-src 'self' blob:; {_FRAMELESS}"
    )
