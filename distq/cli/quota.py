"""What this process may use of its machine: by its affinity, and by the control groups of its container."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

GROUPS, MINE = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
"""Where the kernel shows control groups, and says which are ours."""


def processors() -> float:
    """So many processors this process may use: by its affinity, and by the quota of its container."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(mine, cpu_quota() or mine)


def cpu_quota() -> float | None:
    """The processor time per time that control groups allow; None: any, or there are none here."""
    found = [share for folder in _folders("cpu") if (share := _share(folder))]
    return min(found, default=None)


def most_processes() -> int | None:
    """So many processes and threads together control groups allow; None: any."""
    return min((most for folder in _folders("pids") if (most := _number(folder / "pids.max"))), default=None)


def _folders(controller: str) -> Iterator[Path]:
    """The groups of this process that a controller limits, from its own up to the first of all: of version 2, and of
    version 1. In a container only its own part is to be seen, so those that are not there are left out."""
    try:
        lines = MINE.read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, names, path = line.split(":", 2)
        if names == "":
            root = GROUPS if (GROUPS / "cgroup.controllers").exists() else GROUPS / "unified"
        elif controller in names.split(","):
            root = GROUPS / (names if (GROUPS / names).exists() else controller)
        else:
            continue
        folder = root if ".." in path else root / path.strip("/")  # as a container may see the groups around it
        yield from (place for place in (folder, *folder.parents) if place.is_relative_to(root) and place.is_dir())


def _share(folder: Path) -> float | None:
    """Of version 2 in one file: "200000 100000" or "max 100000"; of version 1 in two."""
    words = _text(folder / "cpu.max").split() or [
        _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
    ]  # fmt: skip
    if len(words) == 2 and all(word.isdigit() for word in words) and int(words[1]):
        return int(words[0]) / int(words[1])
    return None


def _number(place: Path) -> int | None:
    text = _text(place)
    return int(text) if text.isdigit() else None


def _text(place: Path) -> str:
    try:
        return place.read_text("utf-8").strip()
    except OSError:
        return ""
