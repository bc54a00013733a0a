"""What is told of a process that died: how it ended, what it ran, and what that had logged. It decides nothing.

All of it is on the status board, or the kernel says it, so a process that was killed without warning tells as much.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgpack

from distq import worker
from distq.outcome import clip
from distq.supervisor.processes import is_stopped
from distq.worker.board import Slot
from distq.worker.notes import last_lines
from distq.worker.seen import Ran

_OURS = os.path.join(os.path.dirname(worker.__file__), "")
"""Frames from here on are not the handler's."""
_FATAL = "Fatal Python error"
MOST_BESIDE = 20
"""Of the tasks that ran in the same process so many are named."""
MOST_DUMP = 4_000
"""Characters of the traceback that a crash in C code leaves."""
MUCH = 0.5
"""A process that had this part of all the memory, and was killed, was perhaps killed for that."""


def how_it_ended(status: int) -> str:
    """A wait status, for people."""
    return f"was killed by {_signal(status)}" if os.WIFSIGNALED(status) else f"exited with code {_code(status)}"


def lost(message: str, worker: str) -> bytes:
    """The record of tasks whose host is gone: nobody saw how."""
    return _pack({"outcome": "killed", "type": "HostLost", "message": message, "at": _now_ms(), "worker": worker})


def dump_of(file: int) -> str:
    """The traceback that Python itself wrote at a crash in C code; "" if there was none."""
    _, fatal, text = _read_dump(file).rpartition(_FATAL)
    return _handlers(fatal + text.partition("\nExtension modules:")[0]) if fatal else ""


def stack_of(file: int, thread: int) -> str:
    """Where this thread was, as its process wrote when it was asked; "" if it did not."""
    name = f"hread 0x{thread:016x} "
    part = next((part for part in _read_dump(file).split("\n\n") if name in part), "")
    frames = _handlers(part.partition("\n")[2])
    return f"Where it was (most recent call first):\n{frames}" if frames else ""


def hears(pid: int, number: int) -> bool:
    """Whether the signal comes to a handler in this process, as far as the kernel tells (Linux)."""
    said = _status(pid)
    return not said or _is_heard(said, number)


def can_write(pid: int, number: int, dump: int) -> bool:
    """Whether this process will write into its dump at this signal (Linux): it is not stopped, its main thread does not
    block the signal, there is a handler for it, and the file still has its number there."""
    said = _status(pid)
    if not said or is_stopped(pid) or not _is_heard(said, number):
        return False
    try:
        return os.path.samestat(os.stat(f"/proc/{pid}/fd/{dump}"), os.fstat(dump))
    except OSError:
        return False


def _status(pid: int) -> dict[str, str]:
    return dict(line.partition(":")[::2] for line in _read(f"/proc/{pid}/status").splitlines())


def _is_heard(said: Mapping[str, str], number: int) -> bool:
    caught, blocked = (int(said.get(mask) or "0", 16) >> (number - 1) & 1 for mask in ("SigCgt", "SigBlk"))
    return bool(caught and not blocked)


def _read_dump(file: int) -> str:
    return os.pread(file, 64 << 10, 0).decode("utf-8", "replace")


def _handlers(text: str) -> str:
    """Without our own frames, and bounded."""
    lines = [line for line in text.splitlines() if line.strip()]
    ours = next((number for number, line in enumerate(lines) if _OURS in line), len(lines))
    return clip("\n".join(lines[:ours]), MOST_DUMP)


def empty(file: int) -> None:
    """What was dumped there is not about what comes."""
    os.lseek(file, 0, os.SEEK_SET)
    os.ftruncate(file, 0)


def records(
    place: Slot, status: int, rss_kb: int, memory: Memory, dump: str, is_ending: bool
) -> tuple[str, dict[bytes, bytes]]:
    """Of a process that died: how, for people; and for each task that it ran the record of that."""
    ran, hint = place.ran(), "" if is_ending else memory.hint(status, rss_kb)
    how = f"{how_it_ended(status)}{hint}"
    peak = f", peak {_mebibytes(rss_kb)}" if rss_kb else ""
    common = {
        "outcome": "killed", "type": "WorkerDied", "at": _now_ms(), "worker": place.name, "status": status,
        "message": "its host ended before it was done" if is_ending else f"its worker {how}",
        "cause": f"{_signal(status) if os.WIFSIGNALED(status) else f'exit code {_code(status)}'}{peak}",
        "signal": _signal(status) if os.WIFSIGNALED(status) else None,
        "rss_kb": rss_kb or None, "traceback": dump,
    }  # fmt: skip
    beside = f" while it ran {_named(ran)}" if ran else ""
    return f"{how}{beside}{peak if not hint else ''}", {one.entry: _pack(common | _of(one, ran)) for one in ran}


def _named(ran: Sequence[Ran]) -> str:
    return ", ".join(_id(one.entry) for one in ran[:5]) + (f" and {len(ran) - 5} more" if ran[5:] else "")


def _of(one: Ran, ran: Iterable[Ran]) -> dict[str, Any]:
    now_ns = time.monotonic_ns()
    beside = [
        {"id": _id(other.entry), "seconds": _seconds(other, now_ns), "thread": other.seat + 1}
        for other in islice((other for other in ran if other is not one), MOST_BESIDE)
    ]
    return {
        "seconds": _seconds(one, now_ns),
        "thread": one.seat + 1,
        "beside": beside,
        "log": last_lines(one.log),
    }


def _pack(record: Mapping[str, Any]) -> bytes:
    """Without what is empty: a script will read and write it, and takes an empty list for something else."""
    return bytes(msgpack.packb({name: value for name, value in record.items() if value not in (None, "", [])}))


def _id(entry: bytes) -> str:
    return entry.partition(b" ")[0].decode("utf-8", "replace")


def _seconds(one: Ran, now_ns: int) -> float:
    return round(max(0, now_ns - one.since_ns) / 1e9, 3)


def _now_ms() -> int:
    return int(time.time() * 1000)


def _signal(status: int) -> str:
    number = os.WTERMSIG(status)
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _code(status: int) -> int:
    return os.waitstatus_to_exitcode(status)


def _mebibytes(kb: int) -> str:
    return f"{round(kb / 1024):,} MiB"


class Memory:
    """Whether somebody was killed because memory was short.

    The kernel counts that per control group, which a container is one of, and for the whole machine (Linux).
    """

    def __init__(self, read: Callable[[str], str] | None = None) -> None:
        self._read = read or _read
        self._group = self._own_group()
        self._seen = self._counts()

    def hint(self, status: int, rss_kb: int) -> str:
        """What to add behind `was killed by SIGKILL`."""
        before, self._seen = self._seen, self._counts()
        if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            return ""
        peak = f": peak {_mebibytes(rss_kb)}" if rss_kb else ""
        if self._seen[0] > before[0]:
            return f" (out of memory{peak})"
        is_large = rss_kb and rss_kb * 1024 > MUCH * self._limit()
        return f" (perhaps out of memory{peak})" if is_large or self._seen[1] > before[1] else ""

    def _counts(self) -> tuple[int, int]:
        """How many were killed in our control group, and on the machine."""
        return self._number(f"{self._group}/memory.events", "oom_kill"), self._number("/proc/vmstat", "oom_kill")

    def _limit(self) -> float:
        """Bytes that this host may have."""
        total = self._number("/proc/meminfo", "MemTotal:") * 1024 or float("inf")
        own = self._read(f"{self._group}/memory.max").strip()
        return min(total, int(own)) if own.isdigit() else total

    def _own_group(self) -> str:
        path = self._read("/proc/self/cgroup").partition("0::")[2].partition("\n")[0]
        return f"/sys/fs/cgroup{path.rstrip('/')}"

    def _number(self, path: str, name: str) -> int:
        for line in self._read(path).splitlines():
            words = line.split()
            if len(words) > 1 and words[0] == name and words[1].isdigit():
                return int(words[1])
        return 0


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
