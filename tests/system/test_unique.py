"""One task per name: what callers get, and that nothing which ends the first leaves its name taken."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from distq import AlreadyEnqueued, Handle, TaskCancelled, TaskFailed
from distq.broker import inspect
from tests.support.apps.unique import app, index, refresh, remind, spread, sync
from tests.support.eventually import eventually
from tests.support.journal import Journal
from tests.support.room import Room
from tests.system.conftest import Start


@pytest.fixture(autouse=True)
def bound(room: Room) -> None:
    app.rebind(room.url)


def names(room: Room) -> int:
    """How many are taken."""
    return sum(room.redis.hlen(room.key(at)) for at in ("UNIQUES", "NAMED", "UNSTARTED"))


def test_the_second_call_is_given_the_first_ones_handle_and_its_result(start: Start, gate: Path, room: Room) -> None:
    first, second = sync.delay("ann", 1, str(gate)), sync.delay("ann", 2)
    assert (first.created, second.created) == (True, False)
    assert first == second
    other = sync.delay("bob", 3)
    start("unique")
    eventually(lambda: first.status() == "running", "it runs")
    assert sync.delay("ann", 4) == first
    gate.touch()
    assert [handle.get(timeout=20) for handle in (first, second, other)] == [1, 1, 3]
    assert sync.delay("ann", 5).get(timeout=20) == 5, "it has ended: a new one"
    assert names(room) == 0


def test_of_many_calls_at_once_exactly_one_makes_the_task() -> None:
    begin, handles = threading.Barrier(8), list[Handle[int]]()

    def call(value: int) -> None:
        begin.wait()
        handles.append(sync.delay("ann", value))

    threads = [threading.Thread(target=call, args=(value,)) for value in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(handle.created for handle in handles) == [False] * 7 + [True]
    assert len(set(handles)) == 1


def test_asyncio_and_many_at_once(room: Room) -> None:
    async def call() -> list[Handle[int]]:
        one_turn = await asyncio.gather(*(sync.adelay(user) for user in ("a", "b", "a", "c")))
        return [*one_turn, *(await sync.adelay_many([("b",), ("d",)]))]

    handles = asyncio.run(call())
    assert [handle.created for handle in handles] == [True, True, False, True, False, True]
    many = sync.delay_many([("d",), ("e",), ("e",), {"user": "a"}])
    assert [handle.created for handle in many] == [False, True, False, False]
    assert many[0] == handles[5]
    assert many[1] == many[2]
    assert room.redis.hlen(room.key("TASKS")) == 5


def test_it_raises_if_told_so() -> None:
    first = sync.delay("ann")
    loud = sync.options(on_duplicate="raise")
    with pytest.raises(AlreadyEnqueued) as caught:
        loud.delay("ann")
    assert caught.value.id == first.id
    with pytest.raises(AlreadyEnqueued) as caught:
        loud.delay_many([("bob",), ("ann",)])
    assert [handle.created for handle in caught.value.handles] == [True, False], "the others are made"
    with pytest.raises(AlreadyEnqueued):
        asyncio.run(loud.adelay("bob"))


def test_the_replaced_one_says_by_what(start: Start) -> None:
    first = sync.delay("ann", 1)
    second = sync.options(on_duplicate="replace").delay("ann", 2)
    assert second.created
    with pytest.raises(TaskCancelled, match=f"task {first.id} was replaced by {second.id}"):
        first.get(timeout=20)
    start("unique")
    assert second.get(timeout=20) == 2


def test_partitions_do_not_make_it_two() -> None:
    handles = [spread.delay("ann") for _ in range(6)]
    assert len(set(handles)) == 1


def killed(start: Start, room: Room, journal: Journal, gate: Path) -> None:
    """kill -9 of the process that holds it."""
    host = start("unique", "--max-deliveries", "1", processes=1)
    first = sync.delay("ann", 1, str(gate))
    eventually(journal.starts, "it runs")
    os.kill(journal.starts()[-1].pid, signal.SIGKILL)
    with pytest.raises(TaskFailed, match="killed its worker"):
        first.get(timeout=20)
    host.terminate()


def killed_and_run_again(start: Start, room: Room, journal: Journal, gate: Path) -> None:
    host = start("unique", processes=1)
    first = sync.delay("ann", 1, str(gate))
    eventually(journal.starts, "it runs")
    os.kill(journal.starts()[-1].pid, signal.SIGKILL)
    eventually(lambda: len(journal.starts()) == 2, "it runs again")
    assert sync.delay("ann") == first
    gate.touch()
    assert first.get(timeout=20) == 1
    host.terminate()


def failed(start: Start, room: Room, journal: Journal, gate: Path) -> None:
    host = start("unique")
    with pytest.raises(TaskFailed):
        sync.delay("ann", -1).get(timeout=20)
    host.terminate()


def cancelled(start: Start, room: Room, journal: Journal, gate: Path) -> None:
    assert sync.delay("ann").cancel()


def cancelled_while_it_ran(start: Start, room: Room, journal: Journal, gate: Path) -> None:
    host = start("unique")
    first = sync.delay("ann", 1, str(gate))
    eventually(lambda: first.status() == "running", "it runs")
    assert first.cancel(running=True)
    with pytest.raises(TaskCancelled):
        first.get(timeout=20)
    host.terminate()


def purged(start: Start, room: Room, journal: Journal, gate: Path) -> None:
    sync.delay("ann")
    assert inspect.purge(app.broker, "default", "default") == 1


def killed_with_its_host(start: Start, room: Room, journal: Journal, gate: Path) -> None:
    """It comes back with its name, and then ends."""
    first = sync.delay("ann", 7, str(gate))
    host = start("unique", "--lease", "1")
    eventually(lambda: first.status() == "running", "it runs")
    host.kill()
    assert sync.delay("ann") == first
    gate.touch()
    other = start("unique", "--lease", "1")
    assert first.get(timeout=30) == 7
    other.terminate()


@pytest.mark.parametrize(
    "end",
    [killed, killed_and_run_again, failed, cancelled, cancelled_while_it_ran, purged, killed_with_its_host],
    ids=lambda end: end.__name__,
)
def test_whatever_ends_the_first_its_name_is_free(
    start: Start, room: Room, journal: Journal, gate: Path, end: Callable[[Start, Room, Journal, Path], None]
) -> None:
    end(start, room, journal, gate)
    assert names(room) == 0
    assert sync.delay("ann").created


def test_until_it_starts(start: Start, gate: Path) -> None:
    first = refresh.delay("page", 1, str(gate))
    assert refresh.delay("page", 2) == first
    start("unique")
    eventually(lambda: first.status() == "running", "it runs")
    second = refresh.delay("page", 3)
    assert second.created
    gate.touch()
    assert (first.get(timeout=20), second.get(timeout=20)) == (1, 3)


def test_debounced_calls_run_once_with_the_last_arguments(start: Start, journal: Journal) -> None:
    start("unique")
    handles = [index.delay("page", version) for version in range(5)]
    assert len(set(handles)) == 1
    assert handles[0].get(timeout=20) == 4
    assert len(journal.starts(label="page")) == 1
    again = index.delay("page", 5)
    assert again.created
    assert again.get(timeout=20) == 5


def test_throttled_calls_are_the_first_one_for_its_time(start: Start) -> None:
    start("unique")
    first = remind.delay("ann", 1)
    assert first.get(timeout=20) == 1
    second = remind.delay("ann", 2)
    assert (second.created, second.get(timeout=20)) == (False, 1)
    assert remind.delay("bob", 3).get(timeout=20) == 3
