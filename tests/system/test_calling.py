"""Producers and handles: what callers see of their tasks, with real workers behind the broker."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from datetime import time as clock_time
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from distq import (
    Distq,
    DistqError,
    ResultNotKept,
    ResultTimeout,
    TaskCancelled,
    TaskExpired,
    TaskFailed,
    UnknownTask,
)
from distq.result import Handle
from tests.support.apps import calling
from tests.support.apps.calling import Colour, Order, Point, add, app, echo, fail, hold, silent
from tests.support.eventually import eventually
from tests.support.host import ROOT
from tests.support.journal import Journal
from tests.support.monitor import Monitor
from tests.support.room import Room
from tests.system.conftest import Start


@pytest.fixture(autouse=True)
def bound(url: str) -> None:
    app.rebind(url)


def in_threads(functions: list[Callable[[], Any]]) -> list[Any]:
    """Runs them all at once; their results, or the errors that they raised."""
    results: list[Any] = [None] * len(functions)
    begin = threading.Barrier(len(functions))

    def one(position: int) -> None:
        begin.wait()
        try:
            results[position] = functions[position]()
        except Exception as error:
            results[position] = error

    threads = [threading.Thread(target=one, args=(position,)) for position in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


# -- ways to call ----------------------------------------------------------------------------------------------------


def test_every_way_to_call_gives_a_handle_with_the_result(start: Start) -> None:
    start("calling")
    assert add.delay(1, b=2).get(timeout=10) == 3
    assert [h.get(timeout=10) for h in add.delay_many([(1, 2), (3,), {"a": 5, "b": 6}])] == [3, 3, 11]
    assert app.enqueue("add", {"a": 1, "b": 2}).get(timeout=10) == 3
    assert app.enqueue("add", 7).get(timeout=10) == 7
    assert app.enqueue("echo", [1, {"a": 2}]).get(timeout=10) == [1, {"a": 2}]
    handle = add.delay(20, 22)
    assert app.result(handle.id).get(timeout=10) == 42
    assert app.result(handle.id) == handle


def test_every_way_to_call_works_for_asyncio_and_for_async_handlers(start: Start) -> None:
    start("calling")

    async def main() -> list[Any]:
        handles = [
            await add.adelay(1, b=2),
            await calling.async_add.adelay(3, 4),
            await app.aenqueue("async-add", {"a": 5}),
            *await add.adelay_many([(1, 1), {"a": 9}]),
            *await add.options(priority="high").adelay_many([(n,) for n in range(2500)]),
        ]
        assert len({handle.id for handle in handles}) == 2505
        return [await handle.aget(timeout=10) for handle in handles[:6]]

    assert asyncio.run(main()) == [3, 7, 5, 2, 9, 0]
    assert calling.async_add.delay(1, 2).get(timeout=10) == 3


def test_a_program_without_the_code_enqueues_by_name_and_gets_the_result(start: Start, url: str) -> None:
    start("calling")
    stranger = Distq("app", broker=url)
    assert stranger.enqueue("add", {"a": 1, "b": 2}).get(timeout=10) == 3
    assert stranger.enqueue("silent", result_ttl=60).get(timeout=10) == 1
    with pytest.raises(ResultNotKept):  # the declaration says so, which only the worker knows
        stranger.enqueue("silent").get(timeout=60)
    with pytest.raises(ResultNotKept):
        stranger.enqueue("add", 1, result_ttl=0).get(timeout=60)


def test_a_handler_sees_its_own_attempt(start: Start) -> None:
    start("calling")
    before = datetime.now(UTC)
    sent = calling.about_me.options(priority="high", expires=60, headers={"trace": "t1"}, queue="other").delay()
    seen = sent.get(timeout=10)
    assert seen["id"] == sent.id
    assert (seen["type"], seen["attempt"], seen["delivery"], seen["queue"]) == ("about_me", 1, 1, "other")
    assert (seen["priority"], seen["headers"]) == ("high", {"trace": "t1"})
    assert abs(seen["enqueued_at"] - before) < timedelta(seconds=30)
    assert seen["deadline"] - seen["enqueued_at"] == timedelta(seconds=60)
    later = calling.about_me.options(queue="other").delay().get(timeout=10)
    assert later["fence"] > seen["fence"]
    assert later["deadline"] is None


# -- states ----------------------------------------------------------------------------------------------------------


def test_status_follows_a_task_through_its_life(start: Start, gate: Path) -> None:
    waiting, later, broken = hold.delay(str(gate)), add.options(delay="1h").delay(1), fail.delay("no")
    assert (waiting.status(), later.status(), broken.status()) == ("queued", "scheduled", "queued")
    assert later.cancel()
    start("calling")
    eventually(lambda: waiting.status() == "running", "the task runs")
    eventually(lambda: broken.status() == "dead", "the broken one is dead")
    gate.touch()
    waiting.get(timeout=10)
    assert (waiting.status(), later.status(), broken.status()) == ("completed", "cancelled", "dead")
    assert app.result("default." + "0" * 20).status() == "unknown"
    assert app.result("order-17").status() == "unknown"


def test_a_task_that_cannot_start_in_time_expires_although_every_worker_is_busy(
    start: Start, gate: Path, journal: Journal
) -> None:
    start("calling", processes=1)
    busy = hold.delay(str(gate))
    eventually(lambda: busy.status() == "running", "the only worker is busy")
    ready = echo.options(expires=0.2).delay(1)
    scheduled = echo.options(delay="1h", expires=0.2).delay(2)
    for handle in (ready, scheduled):
        with pytest.raises(TaskExpired, match=handle.id):
            handle.get(timeout=10)
        assert handle.status() == "expired"
    assert busy.status() == "running"
    gate.touch()
    busy.get(timeout=10)
    add.delay(1).get(timeout=10)
    assert not journal.starts(id=ready.id)


def test_a_waiting_task_can_be_cancelled_and_a_running_or_ended_one_cannot(
    start: Start, gate: Path, journal: Journal
) -> None:
    start("calling", processes=1)
    running, queued = hold.delay(str(gate)), echo.delay(1)
    eventually(lambda: running.status() == "running", "it runs")
    assert not running.cancel()
    assert queued.cancel()
    assert not queued.cancel()
    assert app.result(add.options(delay=60).delay(1).id).cancel()
    told = add.options(delay=60).delay(1)
    assert told.cancel(by="nightly clean-up 🧹")
    with pytest.raises(TaskCancelled, match="cancelled by nightly clean-up 🧹") as caught:
        told.get(timeout=10)
    assert caught.value.by == "nightly clean-up 🧹"
    with pytest.raises(TaskCancelled, match="cancelled by handle"):
        queued.get(timeout=10)
    gate.touch()
    assert running.get(timeout=10) is None
    assert not running.cancel()
    assert not app.result("default." + "0" * 20).cancel()
    add.delay(1).get(timeout=10)
    assert not journal.starts(id=queued.id)

    async def cancel_both() -> list[bool]:
        waiting = await add.options(delay=60).adelay(1)
        return [await waiting.acancel(by="me"), await waiting.acancel()]

    assert asyncio.run(cancel_both()) == [True, False]


# -- results ---------------------------------------------------------------------------------------------------------

VALUES: list[Any] = [
    None, True, -1, 2**63, -(2**200), 1.5, "Grüße 🙂", b"\x00\xff", [], [1, [2, {"a": None}]], {"a": {1: 2}},
    (1, (2, "x")), {1, 2}, frozenset({"a"}),
    datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Zurich")),
    datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))), datetime(2026, 1, 1, 12, 0, 0, 1),
    date(2026, 2, 28), clock_time(23, 59, 59, 999999), timedelta(days=-1, microseconds=1),
    Decimal("0.10"), Decimal("NaN"), UUID(int=7), [(1, {2}), {"d": Decimal(1)}],
]  # fmt: skip


def test_values_of_every_supported_type_go_to_a_worker_and_back_unchanged(start: Start) -> None:
    start("calling")
    for value, handle in zip(VALUES, echo.delay_many([(value,) for value in VALUES]), strict=True):
        back = handle.get(timeout=10)
        assert repr(back) == repr(value)
        assert type(back) is type(value)


def test_classes_that_the_annotations_name_arrive_as_themselves_on_both_sides(start: Start) -> None:
    start("calling")
    assert calling.repaint.delay(Colour.RED).get(timeout=10) is Colour.BLUE
    assert calling.move.delay(Point(1, 2.5)).get(timeout=10) == Point(2, 2.5)
    order = Order(number=7, points=[Point(1, 1.0)])
    assert calling.extend.delay(order).get(timeout=10) == Order(number=7, points=[Point(1, 1.0), Point(0, 0.5)])


def test_an_error_arrives_with_its_type_its_message_and_the_remote_traceback(start: Start) -> None:
    start("calling")
    handle = fail.delay("not in stock")
    with pytest.raises(TaskFailed, match="LookupError: not in stock") as caught:
        handle.get(timeout=10)
    error = caught.value
    assert (error.id, error.type, error.message) == (handle.id, "LookupError", "not in stock")
    assert "in fail" in error.traceback
    assert "raise LookupError(text)" in error.traceback

    async def again() -> Any:
        return await handle.aget(timeout=10)

    with pytest.raises(TaskFailed, match="LookupError: not in stock"):
        asyncio.run(again())


def test_get_gives_up_after_its_timeout_and_the_task_goes_on(start: Start, gate: Path) -> None:
    start("calling")
    handle = hold.delay(str(gate), 5)
    for timeout in (0, 0.05):
        with pytest.raises(ResultTimeout, match=handle.id):
            handle.get(timeout=timeout)

    async def impatient() -> Any:
        return await handle.aget(timeout=0.05)

    with pytest.raises(TimeoutError):
        asyncio.run(impatient())
    gate.touch()
    assert handle.get(timeout=10) == 5


def test_get_of_a_task_that_keeps_no_result_is_an_error_at_once_while_it_still_waits(start: Start) -> None:
    began = time.monotonic()
    waiting, later = silent.delay(), silent.options(delay="1h").delay()
    for handle in (waiting, later, app.result(waiting.id), add.options(result_ttl=0).delay(1)):
        with pytest.raises(ResultNotKept, match=handle.id):
            handle.get(timeout=60)

        async def main(handle: Handle[Any] = handle) -> Any:
            return await handle.aget(timeout=60)

        with pytest.raises(ResultNotKept, match=handle.id):
            asyncio.run(main())
    assert time.monotonic() - began < 30, "an error at once waits for nothing"
    assert later.cancel()
    start("calling")
    eventually(lambda: waiting.status() == "completed", "it runs all the same")
    with pytest.raises(ResultNotKept):
        waiting.get(timeout=60)
    kept = silent.options(result_ttl=60).delay()
    assert kept.get(timeout=10) == 1


def test_get_of_an_unknown_task_is_an_error_at_once() -> None:
    began = time.monotonic()
    for id in ("default." + "0" * 20, "nowhere." + "0" * 20, "order-17"):
        with pytest.raises(UnknownTask, match=id):
            app.result(id).get(timeout=60)
    assert time.monotonic() - began < 30


def test_all_waiters_on_one_result_are_woken(start: Start, gate: Path, room: Room) -> None:
    start("calling")
    handle = hold.delay(str(gate), "done")

    async def together() -> list[Any]:
        return await asyncio.gather(*(handle.aget(timeout=30) for _ in range(3)))

    def open_when_all_wait() -> str:
        eventually(lambda: room.redis.info("clients")["blocked_clients"] >= 9 + 2, "nine wait, and a worker and more")
        gate.touch()
        return "opened"

    waiters = [lambda: handle.get(timeout=30) for _ in range(6)]
    results = in_threads([*waiters, lambda: asyncio.run(together()), open_when_all_wait])
    assert results == ["done"] * 6 + [["done"] * 3, "opened"]
    assert handle.get(timeout=10) == "done"


def test_get_waits_without_sending_anything(room: Room) -> None:
    handle = echo.delay(1)

    def listen() -> list[str]:
        eventually(lambda: room.redis.info("clients")["blocked_clients"] == 1, "it waits")
        return Monitor(room.url).commands(2.0)

    waited, heard = in_threads([lambda: handle.get(timeout=4.0), listen])
    assert isinstance(waited, ResultTimeout)
    assert heard == []


def test_a_waiting_get_that_gets_no_connection_does_not_hammer_the_broker(room: Room) -> None:
    handle = echo.delay(1)

    def scripts() -> int:
        return int(room.redis.info("commandstats")["cmdstat_evalsha"]["calls"])

    async def wait() -> None:
        await handle.astatus()
        room.redis.config_set("maxclients", room.redis.info("clients")["connected_clients"])
        before = scripts()
        with pytest.raises(DistqError):
            await handle.aget(timeout=1.5)
        assert scripts() - before < 50

    most = room.redis.config_get("maxclients")["maxclients"]
    try:
        asyncio.run(wait())
    finally:
        room.redis.config_set("maxclients", most)


# -- ids -------------------------------------------------------------------------------------------------------------


def test_a_second_call_with_the_id_of_a_live_task_is_that_task(start: Start, gate: Path, journal: Journal) -> None:
    named = hold.options(id="import-7")
    first, second = named.delay(str(gate), 1), named.delay(str(gate), 2)
    assert (first.created, second.created) == (True, False)
    assert first == second
    start("calling")
    eventually(lambda: first.status() == "running", "it runs")
    third = named.delay(str(gate), 3)
    assert not third.created
    gate.touch()
    assert [handle.get(timeout=10) for handle in (first, second, third)] == [1, 1, 1]
    fourth = named.delay(str(gate), 4)
    assert fourth.created
    assert fourth.get(timeout=10) == 4
    assert len(journal.starts(id="import-7")) == 2


def test_of_many_calls_with_one_id_at_once_exactly_one_makes_the_task(start: Start, journal: Journal) -> None:
    named = echo.options(id="only-one")
    handles = in_threads([lambda n=n: named.delay(n) for n in range(10)])  # type: ignore[misc]
    assert sorted(handle.created for handle in handles) == [False] * 9 + [True]
    start("calling")
    values = {handle.get(timeout=10) for handle in handles}
    assert values == {next(n for n, handle in enumerate(handles) if handle.created)}
    assert len(journal.starts()) == 1


# -- threads, forks, event loops -------------------------------------------------------------------------------------


def test_threads_share_an_application(start: Start, journal: Journal) -> None:
    start("calling")

    def many(thread: int) -> list[Any]:
        return [(n, echo.delay([thread, n]).get(timeout=30)) for n in range(20)]

    results = in_threads([lambda t=t: many(t) for t in range(10)])  # type: ignore[misc]
    assert results == [[(n, [thread, n]) for n in range(20)] for thread in range(10)]
    assert len({line.id for line in journal.starts()}) == len(journal.starts()) == 200


FORKING = """
import asyncio, json, os, sys
from tests.support.apps.calling import add, app

app.rebind(sys.argv[1])

async def both():
    return await (await add.adelay(100, 1)).aget(timeout=10)

before = add.delay(1, 1)
seen = [before.get(timeout=10), asyncio.run(both())]
children = []
for child in range(3):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        mine = [add.delay(n, child).get(timeout=10) for n in range(20)] + [before.get(timeout=10), asyncio.run(both())]
        os.write(writer, json.dumps(mine).encode())
        os._exit(0)
    os.close(writer)
    children.append((pid, reader))
seen += [add.delay(n, 1000).get(timeout=10) for n in range(20)] + [asyncio.run(both())]
found = [json.loads(os.read(reader, 65536)) for pid, reader in children]
assert all(os.waitpid(pid, 0)[1] == 0 for pid, reader in children)
print(json.dumps([seen, found]))
"""


def test_a_program_forks_and_all_its_processes_go_on_calling(start: Start, url: str) -> None:
    start("calling")
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORKING, url],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, "")
    parent, children = json.loads(run.stdout)
    assert parent == [2, 101, *range(1000, 1020), 101]
    assert children == [[*range(child, child + 20), 2, 101] for child in range(3)]


def test_calls_of_one_turn_of_the_event_loop_share_round_trips(room: Room) -> None:
    async def main() -> None:
        await add.adelay(0)
        monitor = Monitor(room.url)
        handles = await asyncio.gather(*(add.adelay(n) for n in range(2200)))
        assert len({handle.id for handle in handles}) == 2200
        commands = await asyncio.to_thread(monitor.commands, 0.5)
        assert 3 <= len(commands) <= 4, [command[:100] for command in commands]

    asyncio.run(main())
    assert room.redis.llen(room.key("QUEUE", "default")) == 2201


def test_coroutines_that_are_cancelled_never_shift_the_replies_of_others(start: Start) -> None:
    start("calling")
    ids = {value: echo.delay(value).id for value in range(50)}
    for value, id in ids.items():
        assert app.result(id).get(timeout=10) == value
    live = {f"live-{n}" for n in range(50)}
    for id in live:
        add.options(id=id, delay="1h").delay(0)
    chance = random.Random(7)
    answers: list[tuple[object, object]] = []

    async def get(value: int) -> None:
        answers.append((await app.result(ids[value]).aget(timeout=10), value))

    async def enqueue(id: str) -> None:
        handle = await add.options(id=id, delay="1h").adelay(0)
        answers.append(((handle.id, handle.created), (id, id not in live)))

    async def main() -> tuple[int, int]:
        aborted = finished = 0
        for turn in range(60):
            tasks = [asyncio.create_task(get(chance.randrange(50))) for _ in range(10)]
            tasks += [asyncio.create_task(enqueue(f"new-{turn}-{n}")) for n in range(5)]
            tasks += [asyncio.create_task(enqueue(chance.choice(sorted(live)))) for _ in range(5)]
            chance.shuffle(tasks)
            for task in tasks[:10]:
                await asyncio.sleep(chance.choice((0, 0, 0, 0.0005)))
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            aborted += sum(isinstance(result, asyncio.CancelledError) for result in results)
            finished += results.count(None)
            assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results), results
        return aborted, finished

    aborted, finished = asyncio.run(main())
    assert aborted > 100
    assert finished == len(answers) > 500
    assert [pair for pair in answers if pair[0] != pair[1]] == []
