"""What the routers share: the application, the settings, and how they ask a request for its key and its body."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from distq.errors import did_you_mean
from distq.facts import declared, shown_call
from distq.message import untyped
from distq.plain import plain
from distq.sensitive import HIDDEN, Hiding
from distq.server.access import Key, Keys, Level
from distq.server.feed import Feed
from distq.server.problems import MEDIA_TYPE, Problem, ProblemDetails, too_many, unavailable
from distq.server.strict import parse

if TYPE_CHECKING:
    from distq.app import Distq
    from distq.sender import Sender

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

MOST_BYTES = 8 << 20
LARGE = 1 << 16
"""A body that is read in a thread."""
MOST_WAITING = 500
"""Requests that wait for a result, or hear events, at a time: each has a connection, some to the broker too."""


@dataclass(frozen=True)
class ServerConfig:
    """Settings of one server."""

    keys: Keys = field(default_factory=Keys)
    most_bytes: int = MOST_BYTES
    """Of a body."""
    unknown_types: bool = False
    """Whether types may be enqueued that the application does not declare."""
    redacted: frozenset[str] = frozenset()
    """Names of arguments, and of keys in them, whose values are never shown."""
    environment: str = ""
    """What the dashboard says of where this is, such as production."""


class Strict(BaseModel):
    """A body: no other fields, and no values of other types."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Site:
    """One server."""

    def __init__(self, app: Distq, config: ServerConfig) -> None:
        self.app, self.config = app, config
        self.feed = Feed(app)
        self.closing = asyncio.Event()
        self.senders: dict[tuple[Any, ...], Sender[Any, Any]] = {}
        """Those of calls with the same type and options: to make one costs more than a call."""
        self._waiting = 0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """One more request that stays for long. Raises Problem (503) if there are too many."""
        self.check_waiting()
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def check_waiting(self) -> None:
        """Raises Problem (503) if too many requests wait."""
        if self._waiting >= MOST_WAITING:
            raise unavailable("too many requests wait at once")

    def close(self) -> None:
        """The server ends: whoever waits has waited enough."""
        self.closing.set()
        self.feed.close()

    def check_type(self, type: str) -> None:
        """Raises Problem (400) for a type that this application does not declare, unless that is allowed."""
        known = self.app.tasks
        if type not in known and untyped(type)[0] not in known and not self.config.unknown_types:
            raise Problem(400, f"type {type!r:.80} is not declared here{did_you_mean(type, known)}", field="type")

    def shown(self, value: Any) -> Any:
        """A value from the broker in what JSON knows, without what shall not be shown."""
        shown = plain(value)
        return _redacted(shown, self.config.redacted) if self.config.redacted else shown

    def shown_call(self, facts: Mapping[str, Any]) -> Any:
        """The same for what has `type` and arguments. With names of its own, this server hides all positional ones of
        a type whose parameters it does not know."""
        if not {"args", "kwargs"} & facts.keys():
            return self.shown(facts)
        type, args = str(facts.get("type", "")), facts.get("args") or ()
        call = shown_call(
            self.app, type, args, facts.get("kwargs") or {}, facts.get("headers", {}), self.config.redacted
        )
        if self.config.redacted and declared(self.app, type) is None:
            call["args"] = [HIDDEN] * len(args)
        return self.shown({**facts, **{name: value for name, value in call.items() if name in facts}})

    def names_of(self, type: str, number: int) -> list[str]:
        """What so many positional arguments are called in the function of a type, or else their places."""
        task = declared(self.app, type)
        names = [""] * number if task is None else task.names_of(number)
        return [name or f"[{place}]" for place, name in enumerate(names)]

    def shown_body(self, body: Mapping[str, Any]) -> Any:
        """Of a request, for those who look what others have done. By place alone nobody knows what arguments are."""
        said = self.shown_call(body) if "type" in body else {**body, **({"args": HIDDEN} if "args" in body else {})}
        if isinstance(said.get("calls"), list):
            said["calls"] = [call if isinstance(call, dict) else HIDDEN for call in said["calls"]]
        if isinstance(said.get("tasks"), list):
            said["tasks"] = [self.shown_body(task) if isinstance(task, dict) else task for task in said["tasks"]]
        return self._hiding().shown(said)

    def shown_conditions(self, body: Mapping[str, Any]) -> Any:
        """The same of one that says by arguments, such as `user_id:42`, which tasks are meant."""
        hides = self._hiding().covers
        named = [one.partition(":") for one in body.get("args") or ()]
        said = [f"{name}:{HIDDEN if hides(name) else value}" for name, _, value in named]
        return {**body, "args": said} if said else body

    def _hiding(self) -> Hiding:
        return Hiding(frozenset((*self.app.sensitive, *self.config.redacted)), frozenset())


def site_of(request: Request) -> Site:
    """The server that serves this request."""
    return cast("Site", request.app.state.site)


def key_of(request: Request) -> Key:
    """Who asks."""
    return cast("Key", request.scope["state"]["distq_key"])


def needs(request: Request, level: Level) -> Key:
    """Raises Problem (403) if the key may not do what needs this level."""
    key = key_of(request)
    if not key.may(level):
        raise Problem(403, f"this needs a key of level {level}; {key.name} has {key.level}")
    return key


def may_enqueue(request: Request, number: int) -> None:
    """Counts tasks against the limit of the key. Raises Problem (429)."""
    key = key_of(request)
    seconds = key.take(number)
    if seconds:
        raise too_many(f"the key {key.name} enqueues at most {key.rate}", seconds)


def body_of(request: Request, model: type[M]) -> M:
    """The body, which must be JSON and fit the model. An empty one is an empty object."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = request.scope["state"]["distq_body"]
    if not body:
        return model.model_validate({})
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise Problem(415, "send JSON, with the header Content-Type: application/json")
    return model.model_validate(parse(body))


async def large_body_of(request: Request, model: type[M]) -> M:
    """`body_of` for what is answered in the event loop: there a large one would hold everybody up."""
    if len(request.scope["state"]["distq_body"]) < LARGE:
        return body_of(request, model)
    return await asyncio.to_thread(body_of, request, model)


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A value that JSON knows, as a response; in ASCII, whatever it holds."""
    return Response(json.dumps(value, separators=(",", ":")), status, headers, "application/json")


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T | None:
    """What it brings; None, and it is cancelled, when whoever asked is gone, or the server ends."""
    wanted, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    ends = asyncio.ensure_future(site_of(request).closing.wait())
    try:
        await asyncio.wait({wanted, gone, ends}, return_when=asyncio.FIRST_COMPLETED)
        return wanted.result() if wanted.done() else None
    finally:
        for future in (wanted, gone, ends):
            future.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _redacted(value: Any, names: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {name: HIDDEN if name.lower() in names else _redacted(item, names) for name, item in value.items()}
    return [_redacted(item, names) for item in value] if isinstance(value, list) else value


# -- for the document --------------------------------------------------------------------------------------------------


def accepts(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """`openapi_extra` of a route that reads its body with `body_of`; `api` adds the model to the document."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route: the problems that it may answer with, besides those that all have."""
    content = {"content": {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{ProblemDetails.__name__}"}}}}
    return {code: {"description": _WHY[code], **content} for code in codes}


_WHY = {
    400: "The request does not fit; `errors` names the fields.",
    401: "No valid key in the header X-API-Key.",
    403: "The key may not do this.",
    404: "There is no such thing.",
    405: "The path has no such method.",
    408: "The body did not come in time.",
    409: "It is in a state in which this cannot be done.",
    413: "The body, or the message, is too large.",
    415: "The body is no JSON.",
    429: "The key has enqueued as much as it may; see Retry-After.",
    500: "An error on this side.",
    503: "The broker is away or full, or too many wait; see Retry-After.",
}
READS = problems(400, 401, 403, 405, 500, 503)
WRITES = problems(400, 401, 403, 405, 408, 413, 415, 500, 503)
