"""Resources and hooks in one process: what is opened once, closed once, and never taken along through a fork."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from distq import AsyncResource, ConfigurationError, Distq, Resource


@pytest.fixture
def app() -> Distq:
    return Distq("app", broker="redis://localhost:1/0")


class Manager:
    def __init__(self) -> None:
        self.is_open = False

    def __enter__(self) -> Manager:
        self.is_open = True
        return self

    def __exit__(self, *error: object) -> None:
        self.is_open = False


def test_threads_share_what_is_opened_once(app: Distq) -> None:
    opened: list[int] = []

    @app.resource
    def one() -> Iterator[int]:
        opened.append(1)
        yield len(opened)

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(lambda _: one(), range(100))) == {1}


@pytest.mark.parametrize("error", [LookupError, SystemExit])
def test_the_last_one_opened_is_closed_first_and_an_error_stops_nothing(app: Distq, error: type[BaseException]) -> None:
    said: list[str] = []

    def make(name: str) -> Resource[str]:
        def resource() -> Iterator[str]:
            yield name
            said.append(f"close {name}")
            raise error(name)

        return app.resource(resource)

    first, second = make("first"), make("second")
    app.on_worker_stop(lambda: said.append("stop 1"))
    app.on_worker_stop(lambda: said.append(f"stop 2 with {first()}"))
    app.lifecycle.start()
    second(), first()
    app.lifecycle.stop()
    assert said == ["stop 2 with first", "stop 1", "close first", "close second"]
    app.lifecycle.stop()
    assert said[4:] == ["stop 2 with first", "stop 1", "close first"], "a closed one is opened again when asked for"


def test_what_could_not_be_opened_is_tried_again(app: Distq) -> None:
    tries: list[int] = []

    @app.resource
    def one() -> Iterator[int]:
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError
        yield len(tries)

    with pytest.raises(ConnectionError):
        one()
    assert (one(), one()) == (2, 2)


def test_a_child_of_a_fork_opens_its_own_and_leaves_the_other_open(app: Distq) -> None:
    one = app.resource(Manager)
    parents = one()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        is_another = one() is not parents
        app.lifecycle.stop()
        os.write(writer, b"yes" if is_another and parents.is_open else b"no")
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reader, 10) == b"yes"
    assert one() is parents
    app.lifecycle.stop()
    assert not parents.is_open
    for end in (reader, writer):
        os.close(end)


def test_a_start_that_fails_closes_what_was_opened(app: Distq) -> None:
    one = app.resource(Manager)
    found: list[Manager] = []
    app.on_worker_start(lambda: found.append(one()))

    @app.on_worker_start
    def fail() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        app.lifecycle.start()
    assert not found[0].is_open


def test_each_event_loop_has_its_own_async_resource(app: Distq) -> None:
    said: list[str] = []

    @app.resource
    async def one() -> AsyncIterator[object]:
        await asyncio.sleep(0)
        said.append("open")
        yield object()
        said.append("close")

    async def use() -> object:
        found = {await each for each in asyncio.as_completed([one() for _ in range(5)])}
        assert len(found) == 1
        await app.lifecycle.aclose()
        return found.pop()

    assert asyncio.run(use()) is not asyncio.run(use())
    assert said == ["open", "close"] * 2


def test_what_gives_a_context_manager_needs_no_generator(app: Distq) -> None:
    @contextmanager
    def one() -> Iterator[int]:
        yield 1

    assert app.resource(one)() == 1
    assert app.resource(Manager)().is_open


def test_an_async_resource_that_awaits_itself_is_an_error_and_no_deadlock(app: Distq) -> None:
    @app.resource
    async def selfish() -> AsyncIterator[object]:
        await selfish()
        yield 1

    async def use() -> None:
        with pytest.raises(ConfigurationError, match=r"resource .*selfish awaits .*selfish: it can never be opened"):
            await asyncio.wait_for(selfish(), 10)

    asyncio.run(use())


@pytest.mark.parametrize("together", [False, True])
def test_async_resources_that_await_each_other_are_an_error_whoever_asks_first(app: Distq, together: bool) -> None:
    @app.resource
    async def hen() -> AsyncIterator[object]:
        await asyncio.sleep(0)
        await egg()
        yield 1

    @app.resource
    async def egg() -> AsyncIterator[object]:
        await asyncio.sleep(0)
        await hen()
        yield 2

    async def use() -> None:
        asked = [hen(), egg()] if together else [hen()]
        found = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 10)
        assert [type(error) for error in found] == [ConfigurationError] * len(asked)
        assert "awaits" in str(found[0])

    asyncio.run(use())


def test_async_resources_may_await_others(app: Distq) -> None:
    @app.resource
    async def below() -> AsyncIterator[int]:
        await asyncio.sleep(0)
        yield 1

    @app.resource
    async def above() -> AsyncIterator[int]:
        yield 1 + await below()

    async def use() -> list[int]:
        return list(await asyncio.gather(above(), below(), above()))

    assert asyncio.run(use()) == [2, 1, 2]


def test_an_async_context_manager_is_awaited(app: Distq) -> None:
    @asynccontextmanager
    async def one() -> AsyncIterator[int]:
        yield 1

    assert isinstance(app.resource(one), AsyncResource)


async def coroutine() -> None: ...


@pytest.mark.parametrize("wrong", [coroutine, 17])
def test_what_cannot_be_one_is_refused_when_it_is_declared(app: Distq, wrong: Any) -> None:
    for declare in (app.on_worker_start, app.on_worker_stop, app.resource):
        with pytest.raises(ConfigurationError):
            declare(wrong)
