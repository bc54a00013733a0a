"""Which machine this is, and whether a process on it still lives: so that a new supervisor can tell at once that its
predecessor is gone, without waiting for its lease."""

from __future__ import annotations

import json
import os
import re
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from distq import __version__


@dataclass(frozen=True)
class Identity:
    """A supervisor as others on the same machine can recognize it. Empty `machine`: cannot be told here."""

    machine: str
    """Boot and pid namespace: where `pid` means something."""
    pid: int
    started: str
    """The kernel's start time of the process: a pid alone may be somebody else's by now."""

    def to_text(self) -> str:
        """For the broker."""
        return json.dumps({**asdict(self), "distq": __version__})

    @classmethod
    def from_text(cls, text: str) -> Identity | None:
        """None for anything that is none: it comes from the broker."""
        try:
            data = json.loads(text)
            return cls(str(data["machine"]), int(data["pid"]), str(data["started"]))
        except (ValueError, TypeError, KeyError):
            return None

    def is_gone_from(self, here: Identity) -> bool:
        """Whether this was a process of the same machine as `here`, and is no more. False when it cannot be told."""
        if not self.machine or self.machine != here.machine:
            return False
        return _started(self.pid) != self.started


def identify() -> Identity:
    """This process."""
    return Identity(_machine(), os.getpid(), _started(os.getpid()))


def new_host_name() -> str:
    """A name for this supervisor that nobody had before: `host-pid-random`."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname())[:60] or "host"
    return f"{name}-{os.getpid()}-{os.urandom(3).hex()}"


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state, *rest = stat.rpartition(")")[2].split()
    return "" if state in "ZX" else rest[18]
