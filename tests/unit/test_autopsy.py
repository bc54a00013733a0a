"""Whether memory was short, as the kernel counts it; and the last lines that a task has logged."""

from __future__ import annotations

import signal
import time
from types import SimpleNamespace
from typing import Any

import msgpack
import pytest

from distq.supervisor.autopsy import Memory, how_it_ended, records
from distq.supervisor.reports import EVERY_S, Reports
from distq.worker.board import LOG_BYTES, SEATS, Board, Slot
from distq.worker.hand import Hand
from distq.worker.notes import Notes

GROUP = "/sys/fs/cgroup/shop"


class Machine:
    """Files of the kernel."""

    def __init__(self) -> None:
        self.files = {
            "/proc/self/cgroup": "0::/shop\n",
            "/proc/meminfo": "MemTotal:       1024000 kB\n",
            "/proc/vmstat": "oom_kill 4\n",
            f"{GROUP}/memory.events": "low 0\noom_kill 2\n",
            f"{GROUP}/memory.max": "max\n",
        }

    def read(self, path: str) -> str:
        return self.files.get(path, "")


def test_a_kill_that_the_kernel_counts_for_this_group_was_for_memory() -> None:
    machine = Machine()
    memory = Memory(machine.read)
    assert memory.hint(signal.SIGKILL, 100 << 10) == ""
    machine.files[f"{GROUP}/memory.events"] = "oom_kill 3\n"
    assert memory.hint(signal.SIGKILL, 100 << 10) == " (out of memory: peak 100 MiB)"
    assert memory.hint(signal.SIGKILL, 100 << 10) == "", "it was the one before"


def test_one_that_it_counts_elsewhere_on_the_machine_may_have_been() -> None:
    machine = Machine()
    memory = Memory(machine.read)
    machine.files["/proc/vmstat"] = "oom_kill 5\n"
    assert memory.hint(signal.SIGKILL, 0) == " (perhaps out of memory)"


@pytest.mark.parametrize(("limit", "hint"), [("max", ""), (str(300 << 20), " (perhaps out of memory: peak 200 MiB)")])
def test_a_large_one_may_have_been_too(limit: str, hint: str) -> None:
    machine = Machine()
    machine.files[f"{GROUP}/memory.max"] = limit
    assert Memory(machine.read).hint(signal.SIGKILL, 200 << 10) == hint


def test_other_ends_have_nothing_to_do_with_it() -> None:
    machine = Machine()
    memory = Memory(machine.read)
    machine.files["/proc/vmstat"] = "oom_kill 5\n"
    assert memory.hint(signal.SIGSEGV, 900 << 10) == ""
    assert memory.hint(7 << 8, 900 << 10) == ""


def test_a_machine_that_tells_nothing_has_no_hint() -> None:
    assert Memory(lambda path: "").hint(signal.SIGKILL, 1 << 30) == ""
    assert Memory().hint(7 << 8, 0) == ""


@pytest.fixture
def busy() -> Slot:
    """An event loop with 5,000 coroutines, each of which has said how far it is."""
    number = 5000
    slot = Board(1, number).slots[0]
    slot.clear()
    hand = Hand(slot, number)
    hand.enter("worker", time.monotonic_ns() + 10**12)
    hand.settled([(b"default.%d" % n, b"", n, 0, 0) for n in range(number)])
    for seat in range(number):
        hand.start(seat, seat + 1)
        slot.report(seat, b"%d" % seat)
    return slot


def test_a_large_process_that_dies_keeps_its_supervisor_busy_for_a_moment_only(busy: Slot) -> None:
    begun = time.monotonic()
    text, kept = records(busy, signal.SIGKILL, 0, Memory(), "", False)
    assert time.monotonic() - begun < 10, "each record has some of those that ran beside it: not all were looked at"
    assert text.endswith(" and 4995 more")
    assert len(kept) == 5000
    assert len(msgpack.unpackb(kept[b"default.7"])["beside"]) == 20


def test_what_tasks_say_is_sent_when_what_was_said_before_has_arrived(busy: Slot) -> None:
    """Else leases would be renewed later and later."""
    sent: list[Any] = []
    board = SimpleNamespace(slots=[busy], head=[0] * 64)
    link = SimpleNamespace(submit=lambda command, answer, refused: sent.append(answer))
    reports = Reports(SimpleNamespace(board=board, link=link, prefixes=["distq:{app/default}:"]))  # type: ignore[arg-type]
    reports.ring()
    now = reports.deadline()
    reports.work(now)
    assert len(sent) == 5000
    busy.report(7, b"more")
    reports.work(now + EVERY_S)
    assert len(sent) == 5000
    for answer in sent[:]:
        answer(None)
    reports.work(now + 2 * EVERY_S)
    assert len(sent) == 5001


def test_how_it_ended() -> None:
    assert how_it_ended(signal.SIGKILL) == "was killed by SIGKILL"
    assert how_it_ended(63) == "was killed by signal 63"
    assert how_it_ended(7 << 8) == "exited with code 7"


# -- what was logged -------------------------------------------------------------------------------------------------


def test_of_many_lines_the_last_ones_are_kept_whole() -> None:
    slot = Board(1).slots[0]
    slot.words[SEATS], slot.since[0] = 1, 17
    notes = Notes(slot)
    for number in range(1000):
        notes.keep(0, f"line {number} {'x' * (number % 700)}")
    kept = slot.logged(0).decode()
    lines = kept.splitlines()
    assert len(kept) <= LOG_BYTES
    assert all(line.startswith("line ") for line in lines)
    assert [int(line.split()[1]) for line in lines] == list(range(1000 - len(lines), 1000))


def test_a_task_that_logs_nothing_has_nothing_of_the_one_before() -> None:
    slot = Board(1).slots[0]
    slot.since[0] = 17
    Notes(slot).keep(0, "of the first")
    slot.since[0] = 18
    assert slot.logged(0) == b""
    Notes(slot).keep(0, "of the\nsecond")
    assert slot.logged(0) == b"of the second\n"
