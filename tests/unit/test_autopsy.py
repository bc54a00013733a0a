"""Whether memory was short, as the kernel counts it; and the last lines that a task has logged."""

from __future__ import annotations

import signal

import pytest

from distq.supervisor.autopsy import Memory, how_it_ended
from distq.worker.board import LOG_BYTES, SEATS, Board
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
