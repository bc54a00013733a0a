"""What every request passes before any router sees it. It knows nothing of tasks.

1. host and origin: where no key is configured, only this machine asks, and no page of a browser does it in its name;
2. size and form, by the headers alone; 3. the key, or the cookie that stands for one, and whether it may read or
operate; 4. the body, in bounded time and memory, for those that have a key; 5. headers of the answer that keep browsers
from guessing and keeping.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from distq.server import cookies
from distq.server.access import NOBODY, STRANGER, Key, Keys
from distq.server.problems import Problem, problem

logger = logging.getLogger("distq.server")

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1", "[::1]"})
FIRST_SYSTEM = frozenset({"/enqueue", "/schedule", "/result"})
"""Paths whose answers are plain text."""
HEALTH = frozenset({"/livez", "/readyz", "/healthz", "/health"})
"""Paths that need no key, and tell nothing but that somebody is there."""
SESSION = "/api/v1/session"
"""Whoever may only read may sign in and out, too; and anybody may ask whether he has."""

BODY_S = 4.5
"""So long a body may take, and a second more for each so many bytes that have come."""
BYTES_PER_S = 50_000
HELD_BYTES = 64 << 20
"""Bodies of all requests together."""

_HEADERS = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]
_SAFE = frozenset({"GET", "HEAD"})
_FORWARDED = frozenset({b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip"})


class Guard:
    """The outermost layer of the API."""

    def __init__(self, inner: ASGIApp, keys: Keys, most_bytes: int, pages: frozenset[str] = frozenset()) -> None:
        self._inner, self._keys, self._most_bytes, self._pages = inner, keys, most_bytes, pages
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._http(scope, receive, _with_headers(send))

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = own_path(scope)
        try:
            headers = _Headers(scope["headers"])
            is_page = scope["method"] == "GET" and path in self._pages
            self._check_origin(scope, headers, is_page)
            self._check_form(headers)
            if path not in HEALTH and not is_page:
                scope.setdefault("state", {})["distq_key"] = self._key(scope, headers, path)
        except Problem as refused:
            await _refusal(path, refused)(scope, receive, send)
            return
        began = [False]
        try:
            await self._with_body(scope, receive, _noted(send, began))
        except Problem as refused:
            if not began[0]:
                await _refusal(path, refused)(scope, receive, send)
        except _Gone:
            await _until_gone(receive)
        except Exception:
            logger.exception("%s %s failed", scope["method"], path)
            if not began[0]:
                await problem(500, "something went wrong on this side; the log of the server has it")(
                    scope, receive, send
                )

    def _check_origin(self, scope: Scope, headers: _Headers, is_page: bool) -> None:
        host, origin = headers.one(b"host"), headers.one(b"origin")
        if not self._keys:
            client = (scope.get("client") or ("127.0.0.1", 0))[0]
            name = hostname(host)
            if name not in LOOPBACK:
                raise Problem(400, "no API key is configured: only 127.0.0.1 and localhost are served as Host")
            if client not in LOOPBACK or headers.has_any(_FORWARDED):
                raise Problem(403, "no API key is configured: only programs on this machine are served")
        is_followed = is_page and headers.one(b"sec-fetch-mode") == b"navigate"  # a link to the dashboard
        if headers.one(b"sec-fetch-site") not in (b"", b"same-origin", b"none") and not is_followed:
            raise Problem(403, "requests of other sites' pages are not served")
        if origin and (urlsplit(origin.decode("latin-1")).netloc.encode("latin-1").lower() != host.lower() or not host):
            raise Problem(403, "requests of other sites' pages are not served")

    def _check_form(self, headers: _Headers) -> None:
        length = headers.one(b"content-length")
        if length and headers.one(b"transfer-encoding"):
            raise Problem(400, "a request has Content-Length or Transfer-Encoding, not both")
        if length and (not length.isdigit() or len(length) > 18):
            raise Problem(400, "Content-Length is no number")
        if length and int(length) > self._most_bytes:
            raise self._too_large()
        if headers.one(b"content-encoding") not in (b"", b"identity"):
            raise Problem(415, "bodies are taken as they are, not compressed")

    def _key(self, scope: Scope, headers: _Headers, path: str) -> Key:
        if not self._keys:
            return NOBODY
        given = headers.all(b"x-api-key")
        key = self._keys.find(given[0]) if len(given) == 1 else None
        if not given:
            key = self._signed_in(scope, headers)
            if key is None and path == SESSION and scope["method"] == "GET":
                return STRANGER
        if key is None:
            raise Problem(401, "a valid API key is needed, in the header X-API-Key")
        if scope["method"] not in _SAFE and not key.may("operate") and path != SESSION:
            raise Problem(403, f"the key {key.name} may only read")
        return key

    def _signed_in(self, scope: Scope, headers: _Headers) -> Key | None:
        """By the cookie; to change something the request must say that it comes from our own page."""
        said = headers.all(b"cookie")
        key = cookies.find(self._keys, b";".join(said), headers.one(b"host")) if said else None
        if key is not None and scope["method"] not in _SAFE and not headers.one(b"origin"):
            raise Problem(403, "with a cookie, only the dashboard's own page changes something")
        return key

    # -- the body ----------------------------------------------------------------------------------------------------

    async def _with_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reads it whole; the routers find it in `state`, and those of the framework as a message."""
        if scope["method"] in _SAFE:
            await self._inner(scope, receive, send)
            return
        pieces: list[bytes] = []
        held = 0
        try:
            async for piece in self._pieces(receive):
                held += len(piece)
                self._held += len(piece)
                pieces.append(piece)
                if held > self._most_bytes:
                    raise self._too_large()
                if self._held > HELD_BYTES:
                    raise Problem(503, "too many large requests at once", headers={"Retry-After": "1"})
            scope["state"]["distq_body"] = b"".join(pieces)
            pieces.clear()
            await self._inner(scope, receive, send)
        finally:
            self._held -= held

    async def _pieces(self, receive: Receive) -> Any:
        loop, length = asyncio.get_running_loop(), 0
        began = loop.time()
        while True:
            try:
                async with asyncio.timeout_at(began + BODY_S + length / BYTES_PER_S):
                    message = await receive()
            except TimeoutError:
                raise Problem(408, "the body did not come in time") from None
            if message["type"] == "http.disconnect":
                raise _Gone
            piece = message.get("body", b"")
            length += len(piece)
            yield piece
            if not message.get("more_body", False):
                return

    def _too_large(self) -> Problem:
        return Problem(413, f"the body is larger than {self._most_bytes} bytes")


class _Gone(Exception):
    """Whoever asked is not there any more."""


class _Headers:
    """A request's headers: all that the guard asks of them, found in one pass."""

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        self._found: dict[bytes, list[bytes]] = {}
        for name, value in pairs:
            self._found.setdefault(name.lower(), []).append(value)

    def all(self, name: bytes) -> list[bytes]:
        return self._found.get(name, [])

    def one(self, name: bytes) -> bytes:
        """Its value, b"" if it is not there. Raises Problem if it is there twice."""
        values = self._found.get(name)
        if values is None:
            return b""
        if len(values) > 1:
            raise Problem(400, f"the header {name.decode('latin-1')} is there twice")
        return values[0]

    def has_any(self, names: frozenset[bytes]) -> bool:
        return not names.isdisjoint(self._found)


def own_path(scope: Scope) -> str:
    """The path below where the API is mounted."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path.removeprefix(root) if root and path.startswith(root) else path


def hostname(host: bytes) -> str:
    """The name in a Host header, without its port."""
    text = host.decode("latin-1").lower()
    name, colon, port = text.rpartition(":")
    return name if colon and port.isdigit() else text


def _refusal(path: str, refused: Problem) -> Response:
    """The answer to a request whose body nobody reads: the connection is not used again."""
    if path in FIRST_SYSTEM:
        text = {401: "Unauthorized", 403: "Forbidden"}.get(refused.status, refused.detail)
        response: Response = PlainTextResponse(f"{text}\n", refused.status, refused.headers)
    else:
        response = refused.answer()
    response.headers["connection"] = "close"
    return response


def _with_headers(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *_HEADERS]
        await send(message)

    return with_headers


async def _until_gone(receive: Receive) -> None:
    """Waits until the server knows it too: it complains of answers without an end."""
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            while (await receive())["type"] != "http.disconnect":
                pass


def _noted(send: Send, began: list[bool]) -> Callable[[Message], Awaitable[None]]:
    async def noted(message: Message) -> None:
        began[0] = True
        try:
            await send(message)
        except (RuntimeError, OSError):  # uvloop's word for a connection that is closed
            raise _Gone from None

    return noted
