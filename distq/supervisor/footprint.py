"""How much memory a process has: for itself, which is free when it ends, or with its share of what several have. Linux
tells it."""

from __future__ import annotations

import os
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
_OWN = ("Private_Clean:", "Private_Dirty:", "Private_Hugetlb:")


def own_memory(pid: int, limit: int) -> int:
    """Bytes that this process shares with nobody; 0 if all that it has is below the limit, since to ask that costs a
    hundredth of the time. A child shares the application with its template, and that is not what it has leaked."""
    try:
        total = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError, ValueError):  # it has just ended
        return 0
    return _summed(pid, _OWN) if total >= limit else 0


def share_of_memory(pid: int) -> int:
    """Bytes of this process. What it has together with others counts in part for each. 0: it cannot be told."""
    return _summed(pid, ("Pss:",))


def _summed(pid: int, names: tuple[str, ...]) -> int:
    try:
        lines = [line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()]
    except OSError:
        return 0
    return sum(int(words[1]) * 1024 for words in lines if words and words[0] in names)
