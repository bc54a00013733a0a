"""What this machine, or the container that we are in, gives a worker host: processors, processes, open files."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import resource
from collections.abc import Iterator

from distq import __version__
from distq.broker.health import Finding
from distq.cli.quota import cpu_quota, most_processes, processors
from distq.config import WorkerConfig

FILES_OF_HOST, FILES_OF_PROCESS = 100, 6
"""File descriptors of a supervisor: its own, and what it holds of each process."""
FILES_OF_SEAT = 4
"""Of what runs in a thread, or as a coroutine."""
THREADS_OF_HOST, THREADS_OF_PROCESS = 8, 2
"""Of supervisor and template; and of each process beside its seats. The kernel counts threads as processes."""
CROWD = 2
"""So many processes on a processor are worth a warning."""


def examine_machine(config: WorkerConfig) -> Iterator[Finding]:
    """What was found, good and bad, for a host with these settings."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 (no other command needs it)

    yield Finding("ok", "python", f"{platform.python_version()} on {platform.system()}, {os.cpu_count()} cores")
    parts = [f"distq {__version__}"]
    for package in ("redis", "hiredis", "msgpack"):
        with contextlib.suppress(PackageNotFoundError):
            parts.append(f"{package} {version(package)}")
    yield Finding("ok", "packages", ", ".join(parts))
    yield _processors(config)
    yield _files(config)
    yield _processes(config)


# -- findings --------------------------------------------------------------------------------------------------------


def _options(config: WorkerConfig) -> str:
    text = f"-p {config.processes} -t {config.threads}"
    return text + (f" --coroutines {config.coroutines}" if config.coroutines else "")


def _processors(config: WorkerConfig) -> Finding:
    here, allowed = os.cpu_count() or 1, processors()
    text = f"{allowed:g} of {here}" if allowed < here else f"{here}"
    why = ", by the quota of this container" if (cpu_quota() or here) == allowed < here else ""
    if config.children > CROWD * allowed:
        good = max(1, math.ceil(allowed))
        return Finding(
            "warning", "processors", f"{_options(config)} has {config.children} processes for {text} processors{why}: "
            "they take turns, and tasks that compute take so much longer", f"distq run … -p {good}; for tasks that "
            "wait, threads (-t) or coroutines",
        )  # fmt: skip
    return Finding("ok", "processors", f"{text} for {_options(config)}{why}")


def _files(config: WorkerConfig) -> Finding:
    needed = FILES_OF_HOST + max(
        FILES_OF_PROCESS * config.slots, FILES_OF_SEAT * max(config.threads, config.coroutines)
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < needed:
        return Finding(
            "warning", "files", f"a process may open {soft:,} files: {_options(config)} takes "
            f"about {needed:,}", f"ulimit -n {min(hard, 4096) if hard > needed else needed}",
        )  # fmt: skip
    return Finding("ok", "files", f"{'any number of' if soft < 0 else format(soft, ',')} files per process")


def _processes(config: WorkerConfig) -> Finding:
    needed = THREADS_OF_HOST + config.slots * THREADS_OF_PROCESS + config.processes * config.threads
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    here = most_processes()
    allowed, is_container = (soft, False) if here is None or 0 <= soft < here else (here, True)
    if 0 <= allowed < needed:
        who, hint = "this user", f"ulimit -u {needed if 0 <= hard < 2 * needed else 2 * needed}"
        if is_container:
            who, hint = "this container", f"give it more, such as --pids-limit {2 * needed}"
        return Finding(
            "warning", "processes", f"{who} may have {allowed:,} processes and threads: {_options(config)} takes about "
            f"{needed:,}", hint,
        )  # fmt: skip
    number = "any number of" if allowed < 0 else f"{allowed:,}"
    return Finding("ok", "processes", f"{number} processes and threads")
