"""The files of the dashboard. They are the same for everybody and tell nothing: what a page shows it asks the API for,
as any program does, with the cookie of whoever has signed in.
"""

from __future__ import annotations

import gzip
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from distq.server.guard import own_path

router = APIRouter(include_in_schema=False)

FOLDER = Path(__file__).with_name("dashboard")
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
FILES = {path.name: path for path in sorted(FOLDER.iterdir()) if path.suffix in KINDS}
"""By name; there are no folders in it."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""Nothing but our own files runs; nobody frames the pages, or learns from where a link was followed."""


def _page(request: Request) -> Response:
    path = FILES[own_path(request.scope).rpartition("/")[2] or "index.html"]
    body, headers = path.read_bytes(), {**HEADERS, "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        body, headers["Content-Encoding"] = gzip.compress(body, mtime=0), "gzip"
    return Response(body, headers=headers, media_type=KINDS[path.suffix])


OPEN = frozenset({"/", *(f"/dashboard/{name}" for name in FILES if name != "index.html")})
"""Paths that need no key."""

for _path in sorted(OPEN):
    router.add_api_route(_path, _page, methods=["GET"])
