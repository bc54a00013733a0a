"""Who asks, and signing in: a key in the usual header becomes a cookie, which programs of a page cannot read."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from distq.server import cookies
from distq.server.access import NOBODY, STRANGER, Key, Level
from distq.server.site import READS, WRITES, answer, key_of, site_of

router = APIRouter(prefix="/session", tags=["dashboard"])


class SessionDetails(BaseModel):
    """Who asks; `is_open`: no key is configured, so that nobody needs one here."""

    name: str
    level: Level
    is_open: bool
    app: str
    environment: str
    at_ms: int


@router.get("", responses={200: {"model": SessionDetails}, **READS})
def who(request: Request) -> Response:
    """Who asks, what they may do, and of which application this is; of whoever has not signed in, only that."""
    return answer(_told(request, key_of(request)))


@router.post("", responses={200: {"model": SessionDetails}, **WRITES})
def sign_in(request: Request) -> Response:
    """Answers with a cookie that stands for the key for a week, for the dashboard. Every level may do it."""
    key = key_of(request)
    response = answer(_told(request, key))
    if key is not NOBODY:
        _set(request, response, cookies.signed(key), cookies.LASTS_S)
    return response


@router.delete("", status_code=204, responses=WRITES)
def sign_out(request: Request) -> Response:
    """Takes the cookie away."""
    response = Response(status_code=204)
    _set(request, response, "", 0)
    return response


def _set(request: Request, response: Response, value: str, age_s: int) -> None:
    """Only the browser knows whether there is TLS in front of a proxy: the page's origin says it."""
    response.set_cookie(
        cookies.cookie_name(request.headers.get("host", "").encode()),
        value,
        max_age=age_s,
        path=f"{request.scope.get('root_path', '')}/",
        secure=request.headers.get("origin", "").startswith("https://"),
        httponly=True,
        samesite="strict",
    )


def _told(request: Request, key: Key) -> dict[str, Any]:
    site, is_known = site_of(request), key is not STRANGER
    return {
        "name": key.name, "level": key.level, "is_open": key is NOBODY, "app": site.app.name if is_known else "",
        "environment": site.config.environment if is_known else "", "at_ms": round(time.time() * 1000),
    }  # fmt: skip
