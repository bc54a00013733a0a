"""What the processes below a program use: memory, processor time. Needs /proc."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path


def below(roots: set[int]) -> set[int]:
    """These processes and all that descend from them, and what they left behind in their sessions."""
    parents: dict[int, tuple[int, int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text("utf-8", "replace").rpartition(") ")[2].split()
                if fields[0] != "Z":
                    parents[int(entry.name)] = (int(fields[1]), int(fields[3]))
    found = {pid for pid, (_, session) in parents.items() if pid in roots or session in roots}
    while more := {pid for pid, (parent, _) in parents.items() if parent in found} - found:
        found |= more
    return found


def pss_mib(pids: Iterable[int], but: str = "") -> float:
    """Their memory; what several share is counted once. `but`: without this part, e.g. `Pss_File`."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
            found = {name: int(number) for name, number in re.findall(r"^(Pss\w*):\s*(\d+) kB$", text, re.M)}
            total += found["Pss"] - found.get(but, 0)
    return total / 1024


def cpu_seconds(pids: Iterable[int]) -> float:
    """Processor time that all threads of these processes have used, to the microsecond."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").glob("*"):
            with contextlib.suppress(OSError):
                total += int((task / "schedstat").read_text("ascii").split()[0])
    return total / 1e9
