"""The application that answers: routers, errors, document and guard put together."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp

from distq.errors import DistqError
from distq.server import (
    actions,
    dead,
    declared,
    first_system,
    history,
    metrics,
    moving,
    overview,
    pages,
    problems,
    queues,
    results,
    schedules,
    search,
    session,
    stats,
    switches,
    tasks,
    workers,
)
from distq.server.access import read_keys
from distq.server.alike import Alike
from distq.server.calls import NewTask, NewTasks
from distq.server.guard import FIRST_SYSTEM, Guard, own_path
from distq.server.problems import Problem, ProblemDetails
from distq.server.short import ShortWay
from distq.server.site import READS, ServerConfig, Site, answer

if TYPE_CHECKING:
    from distq.app import Distq

BODIES: tuple[type[BaseModel], ...] = (
    NewTask, NewTasks, ProblemDetails, tasks.How, tasks.Edits, queues.Purge, dead.Chosen, dead.Replay,
    schedules.NewSchedule, schedules.Changes, queues.Why, switches.What, switches.NewPause, switches.NewLimits,
    switches.Park, moving.NewPlace, moving.WhichToCancel, moving.WhichToReschedule,
)  # fmt: skip
"""Models that routes name, but the framework does not see."""

own = APIRouter(tags=["about"])


def asgi(app: Distq, config: ServerConfig | None = None) -> ASGIApp:
    """The API of an application; without settings, the keys are those of the environment."""
    config = config or ServerConfig(read_keys(os.environ))
    return guarded(build(app, config), app, config)


def guarded(api: FastAPI, app: Distq, config: ServerConfig) -> ASGIApp:
    """What `build` makes, behind its guard."""
    way = ShortWay(api, actions.Noted(Alike(api), api.state.site))
    return Guard(way, config.keys, max(config.most_bytes, app.max_payload + 65536), pages.OPEN)


def build(app: Distq, config: ServerConfig) -> FastAPI:
    """The same without its guard."""
    api = FastAPI(
        title=f"distq: {app.name}",
        version="1",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            Problem: problems.on_distq,
            DistqError: problems.on_distq,
            TypeError: problems.on_distq,
            ValidationError: problems.on_invalid_body,
            RequestValidationError: problems.on_invalid_query,
            HTTPException: _on_http,
            Exception: problems.on_anything,
        },
    )
    api.state.site = Site(app, config)
    for router, prefix in ROUTERS:
        api.include_router(router, prefix=prefix)
    return api


@own.get("/api/openapi.json", responses=READS)
def document(request: Request) -> Response:
    """This document."""
    return answer(openapi(request.app))


@own.get("/livez", response_class=PlainTextResponse)
@own.get("/healthz", response_class=PlainTextResponse)
@own.get("/health", response_class=PlainTextResponse)
@own.get("/readyz", response_class=PlainTextResponse)
async def health() -> Response:
    """Somebody is there. It asks no broker, and needs no key."""
    return PlainTextResponse("ok\n")


ROUTERS: tuple[tuple[APIRouter, str], ...] = (
    (first_system.router, ""),
    (search.router, "/api/v1"),
    (moving.router, "/api/v1"),
    (tasks.router, "/api/v1"),
    (results.router, "/api/v1"),
    (queues.router, "/api/v1"),
    (dead.router, "/api/v1"),
    (switches.pauses, "/api/v1"),
    (switches.limits, "/api/v1"),
    (switches.budgets, "/api/v1"),
    (schedules.router, "/api/v1"),
    (workers.router, "/api/v1"),
    (actions.router, "/api/v1"),
    (stats.router, "/api/v1"),
    (metrics.router, ""),
    (declared.router, "/api/v1"),
    (overview.router, "/api/v1"),
    (history.router, "/api/v1"),
    (session.router, "/api/v1"),
    (pages.router, ""),
    (own, ""),
)
"""All there are, with what their paths begin with."""


async def _on_http(request: Request, error: Exception) -> Response:
    if own_path(request.scope) in FIRST_SYSTEM:
        assert isinstance(error, HTTPException)
        said = {405: "Method not allowed"}.get(error.status_code, str(error.detail))
        return PlainTextResponse(f"{said}\n", error.status_code, error.headers)
    return await problems.on_http(request, error)


def openapi(api: FastAPI) -> dict[str, Any]:
    """The document of OpenAPI 3.1, with what the framework does not see of bodies, and without what it believes of
    errors: here a request that does not fit is 400."""
    if api.openapi_schema is None:
        found = api.openapi()
        _, definitions = models_json_schema(
            [(model, "validation") for model in BODIES], ref_template="#/components/schemas/{model}"
        )
        components = found.setdefault("components", {})
        schemas = components.setdefault("schemas", {})
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schemas.update(definitions["$defs"])
        components["securitySchemes"] = {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}
        found["security"] = [{"key": []}]
        for operations in found["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
        api.openapi_schema = found
    return api.openapi_schema
