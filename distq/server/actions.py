"""What people have done through this API: it is noted when it is done, in the broker and in the log of the server.

Calls that create tasks are not noted: they have ids, and there are very many.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from distq.broker import actions
from distq.errors import BrokerError
from distq.server.guard import SESSION, own_path
from distq.server.models import Actions
from distq.server.site import READS, Site, answer, needs, site_of

logger = logging.getLogger("distq.server")

PLACE = "default"
"""The queue with whose keys it is kept: each application has it."""
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_API = "/api/v1/"
_DEAD = "/api/v1/dead/"
"""Where bodies are no calls, but say which are meant."""

router = APIRouter(prefix="/actions", tags=["about"])


@router.get("", responses={200: {"model": Actions}, **READS})
def newest(request: Request, limit: int = Query(100, ge=1, le=actions.KEPT)) -> Response:
    """What people have done through the API, the newest first; the last 2,000 are kept, for 90 days. Needs a key of
    level admin."""
    needs(request, "admin")
    site = site_of(request)
    found = actions.newest(site.app.broker, PLACE, limit)
    return answer({"actions": [one._asdict() for one in found]})


class Noted:
    """An application in front of the framework's, that notes what was done there."""

    def __init__(self, api: ASGIApp, site: Site) -> None:
        self._api, self._site = api, site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        path = own_path(scope) if scope["type"] == "http" else ""
        if not path.startswith(_API) or path == SESSION or scope["method"] in _SAFE:
            await self._api(scope, receive, send)
            return
        status = [0]

        async def seen(message: Message) -> None:
            status[0] = message.get("status", status[0])
            await send(message)

        await self._api(scope, receive, seen)
        if not 200 <= status[0] < 300:
            return
        said = _said(self._site, path, scope["state"]["distq_body"])
        if said is not None:
            await self._note(scope["state"]["distq_key"].name, f"{scope['method']} {path.removeprefix(_API)}", said)

    async def _note(self, who: str, what: str, said: str) -> None:
        logger.info("%s: %s %s", who, what, said)
        broker = self._site.app.async_broker
        try:
            await broker.run(actions.note(broker.prefix(PLACE), who, what, said))
        except BrokerError as error:
            logger.warning("not noted in the broker, which is away: %s: %s %s: %s", who, what, said, error)


def _said(site: Site, path: str, body: bytes) -> str | None:
    """The body as it may be shown; None: it is a question only."""
    if not body:
        return ""
    try:
        found: Any = json.loads(body)
    except ValueError:
        return ""
    if isinstance(found, dict):
        if found.get("dry_run") is True:
            return None
        found = site.shown_conditions(found) if path.startswith(_DEAD) else site.shown_body(found)
    return json.dumps(site.shown(found), ensure_ascii=True, separators=(",", ":"))[: actions.MOST_TEXT]
