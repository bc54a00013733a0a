"""What many ask alike is read once for all of them: a hundred tabs that show a page cost the broker no more than one.

Whoever sends `Cache-Control: max-age=2` also takes what another one was answered up to two seconds ago, or is about to
be answered. With `max-age=0` it is read anew, for those who ask next as well. Without it nothing is shared.
"""

from __future__ import annotations

import asyncio
import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from distq.server.guard import SESSION, own_path

MOST_AGE_S = 5
_API = "/api/v1/"
_ALONE = (SESSION, "/api/v1/events", "/api/v1/results/")
"""What is about whoever asks, or waits."""
_AGE = re.compile(rb"max-age=(\d{1,9})")


class _Answer:
    """One that is made, or was."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.ended_s: float | None = None
        self._is_over = asyncio.Event()

    async def take(self, message: Message) -> None:
        self.messages.append(message)

    def end(self, now_s: float) -> None:
        self.ended_s = now_s
        self._is_over.set()

    async def wait(self) -> bool:
        """Until it is made; whether it is whole: whoever asked for it may have failed, or gone."""
        await self._is_over.wait()
        return bool(self.messages) and not self.messages[-1].get("more_body", "body" not in self.messages[-1])

    def is_older(self, age_s: float, now_s: float) -> bool:
        return self.ended_s is not None and now_s - self.ended_s > age_s


class Alike:
    """An application in front of the framework's. Keys of one level see the same."""

    def __init__(self, api: ASGIApp) -> None:
        self._api = api
        self._answers: dict[tuple[str, str, bytes], _Answer] = {}
        """The one that was begun last is the last."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        age_s = _most_age(scope)
        if age_s is None:
            await self._api(scope, receive, send)
            return
        name = (scope["state"]["distq_key"].level, own_path(scope), scope.get("query_string", b""))
        found, now_s = self._answers.get(name), asyncio.get_running_loop().time()
        if found is None or not age_s or found.is_older(age_s, now_s):
            self._forget(name, now_s)
            found = self._answers[name] = _Answer()
            try:
                await self._api(scope, receive, found.take)
            finally:
                found.end(asyncio.get_running_loop().time())
        if not await found.wait():
            await self._api(scope, receive, send)
            return
        for message in found.messages:
            await send(dict(message))

    def _forget(self, name: tuple[str, str, bytes], now_s: float) -> None:
        """What nobody takes any more: this one, and those that were begun first."""
        self._answers.pop(name, None)
        while self._answers and self._answers[first := next(iter(self._answers))].is_older(MOST_AGE_S, now_s):
            del self._answers[first]


def _most_age(scope: Scope) -> int | None:
    """How old the answer may be; None: nobody has said so."""
    if scope["type"] != "http" or scope["method"] != "GET":
        return None
    path = own_path(scope)
    if not path.startswith(_API) or path.startswith(_ALONE):
        return None
    said = next((value for name, value in scope["headers"] if name == b"cache-control"), b"")
    found = _AGE.search(said)
    return min(int(found[1]), MOST_AGE_S) if found else None
