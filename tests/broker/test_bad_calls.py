"""Producers on the broker's bad days: an error within their time limit, whatever it is; nothing twice, nothing lost."""

from __future__ import annotations

import asyncio
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from distq import Distq
from distq.broker.connect import Exchange
from distq.broker.scripts import encode, script
from distq.broker.verbs import look
from distq.errors import BrokerFull, BrokerUnavailable
from distq.result import Handle
from tests.support.eventually import eventually
from tests.support.proxy import Blackhole, Chop, CutReply, CutRequest, Delay, Fault, Proxy, Stall
from tests.support.room import Room, completed

LIMIT_S = 0.5


@pytest.fixture
def proxy(room: Room) -> Iterator[Proxy]:
    with Proxy(room.url) as proxy:
        yield proxy


@pytest.fixture
def app(proxy: Proxy) -> Distq:
    app = Distq("app", broker=proxy.url, timeout=LIMIT_S)

    @app.task
    def job(number: int = 0) -> None: ...

    return app


CALLS: dict[str, Callable[[Distq, Handle[Any]], object]] = {
    "delay": lambda app, known: app.tasks["job"].delay(1),
    "a given id": lambda app, known: app.tasks["job"].options(id="given").delay(1),
    "delay_many": lambda app, known: app.tasks["job"].delay_many([(1,), (2,)]),
    "adelay": lambda app, known: asyncio.run(_gather(app)),
    "durable": lambda app, known: app.tasks["job"].options(durable=True).delay(1),
    "durable, in a loop": lambda app, known: asyncio.run(_durable(app)),
    "status": lambda app, known: known.status(),
    "status of any queue": lambda app, known: app.result("someone").status(),
    "get": lambda app, known: known.get(timeout=30),
    "aget": lambda app, known: asyncio.run(_aget(known)),
    "cancel": lambda app, known: known.cancel(),
}


async def _gather(app: Distq) -> None:
    """Calls of one loop that open a connection do not wait for each other's time limits."""
    calls = [app.tasks["job"].options(priority=n).adelay(1) for n in (0, 1, 2)]
    errors = await asyncio.gather(*calls, return_exceptions=True)
    raise next(error for error in errors if isinstance(error, BaseException))


async def _durable(app: Distq) -> None:
    """The second one goes with the next batch, which waits for the first; each has its own time limit."""
    job = app.tasks["job"].options(durable=True)
    first = asyncio.create_task(job.adelay(1))
    await asyncio.sleep(LIMIT_S / 4)
    errors = await asyncio.gather(first, job.adelay(2), return_exceptions=True)
    raise next(error for error in errors if isinstance(error, BaseException))


async def _aget(known: Handle[Any]) -> None:
    await known.aget(timeout=30)


FAULTS: dict[str, Callable[[], Fault]] = {
    "nothing passes": Blackhole,
    "no reply comes": lambda: Blackhole(requests=False),
    "replies stall": lambda: Stall(after=2),
    "replies trickle": lambda: Chop(pause=0.95 * LIMIT_S),
    "requests are cut": CutRequest,
    "replies are cut": CutReply,
}


def timed(call: Callable[[], object]) -> tuple[float, BaseException | None]:
    """How long it took (seconds), and how it failed."""
    begun = time.monotonic()
    try:
        call()
    except Exception as error:
        return time.monotonic() - begun, error
    return time.monotonic() - begun, None


@pytest.mark.parametrize("opened", [True, False], ids=["a connection", "no connection"])
@pytest.mark.parametrize("fault", FAULTS)
def test_each_call_ends_with_a_clear_error_when_its_time_is_over_and_none_waits_for_another(
    app: Distq, proxy: Proxy, room: Room, fault: str, opened: bool
) -> None:
    known: Handle[None] = Handle(app, room.enqueue(), "default")
    if opened:
        app.tasks["job"].delay()
    with proxy.fault(FAULTS[fault]()), ThreadPoolExecutor(len(CALLS) + 1) as threads:
        clock = threads.submit(timed, lambda: time.sleep(LIMIT_S))
        calls = {name: threads.submit(timed, partial(call, app, known)) for name, call in CALLS.items()}
        late_s = clock.result()[0] - LIMIT_S
        ends = {name: call.result() for name, call in calls.items()}
    proxy.cut()
    for name, (took_s, error) in ends.items():
        assert isinstance(error, BrokerUnavailable), name
        assert "no broker at redis://127" in str(error), name
        assert took_s < 1.8 * LIMIT_S + 10 * late_s, name


@pytest.mark.parametrize("what", ["a script that has to be loaded", "a connection that has to be made"])
def test_all_that_a_call_asks_has_one_deadline(app: Distq, proxy: Proxy, room: Room, what: str) -> None:
    """Each answer comes in time: but there is more than one."""
    app.tasks["job"].delay()
    room.redis.script_flush()
    is_script = what.startswith("a script")
    call = app.tasks["job"].delay if is_script else partial(Exchange(proxy.url, LIMIT_S).request, encode("PING"))
    with proxy.fault(Delay(seconds=0.7 * LIMIT_S)), ThreadPoolExecutor(1) as threads:
        clock = threads.submit(timed, lambda: time.sleep(LIMIT_S))
        took_s, error = timed(call)
        late_s = clock.result()[0] - LIMIT_S
    assert isinstance(error, BrokerUnavailable)
    assert took_s < 1.8 * LIMIT_S + 10 * late_s


def test_a_reply_that_is_large_and_comes_in_pieces_is_read(proxy: Proxy, room: Room) -> None:
    patient = Distq("app", broker=proxy.url, timeout=30)
    id = room.enqueue(body=b"\x91\x91\xc6" + (500_000).to_bytes(4, "big") + bytes(500_000))
    with proxy.fault(Chop(size=1000)):
        assert len(patient.broker.run(look(room.prefix, id)).message or b"") > 500_000


@pytest.mark.parametrize("lost", [CutReply, CutRequest])
def test_a_call_that_is_repeated_is_one_task_also_if_the_first_copy_is_over_already(
    room: Room, proxy: Proxy, lost: type[Fault]
) -> None:
    """A worker takes and completes what the first copy brought, before the second one arrives."""
    app = Distq("app", broker=proxy.url, timeout=30)

    @app.task
    def job(number: int) -> None: ...

    job.delay(0)
    worker, over = room.register(), threading.Event()

    def work() -> None:
        done: list[bytes] = []
        while not over.is_set():
            done = [completed(entry.decode()) for entry in room.step(worker, verdicts=done).entries]
        room.step(worker, want=0, verdicts=done)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        sha = script("enqueue").sha
        fault = [lost(match=sha, times=2), Delay(match=sha, seconds=0.1)]
        with proxy.fault(*fault):
            job.delay(1)
        with proxy.fault(lost(match=sha, times=2)):
            handle = job.options(id="order-17").delay(2)
        assert (handle.id, handle.created) == ("order-17", True), "the lost reply said so"
        with proxy.fault(lost(match=sha, times=2)):
            job.delay_many([(n,) for n in range(3, 10)])
        with proxy.fault(lost(match=sha, times=2)):
            asyncio.run(_adelay(job))
        eventually(lambda: room.ledger().get("completed job") == 11, "all are completed")
    finally:
        over.set()
        thread.join()
    assert room.ledger()["enqueued job"] == 11


async def _adelay(job: Any) -> None:
    await job.adelay(10)


def test_a_full_broker_is_named_at_once(room: Room, app: Distq) -> None:
    app.tasks["job"].delay()
    room.redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(BrokerFull):
            app.tasks["job"].delay()
        with pytest.raises(BrokerFull):
            app.tasks["job"].delay_many([(1,), (2,)])
        with pytest.raises(BrokerFull):
            asyncio.run(_adelay(app.tasks["job"]))
    finally:
        room.redis.config_set("maxmemory", 0)


def test_memory_stays_flat_while_the_broker_is_away(app: Distq, proxy: Proxy) -> None:
    job = app.tasks["job"]
    app.broker.timeout = app.broker.exchange.timeout = app.async_broker.timeout = 0.001
    with proxy.fault(CutRequest()):

        def call(times: int) -> int:
            for n in range(times):
                with pytest.raises(BrokerUnavailable):
                    job.delay("x" * 10_000)
                if n % 10 == 0:
                    with pytest.raises(BrokerUnavailable):
                        asyncio.run(_adelay(job))
            return tracemalloc.get_traced_memory()[0]

        tracemalloc.start()
        try:
            before = call(50)
            assert call(200) < before + 200 * 10_000 / 4, "what could not be sent is not kept"
        finally:
            tracemalloc.stop()
