"""What a worker host costs beside its work must not creep up: processes, what they import, what they need of memory."""

from __future__ import annotations

import sys

import pytest

from benchmarks.footprint import PACKAGES, PROCESSES, bare_mib, compiled, imports, work
from benchmarks.host import room, worker_host
from benchmarks.processes import below, pss_mib

NEEDED = {"cython_runtime", "hiredis", "msgpack"}
SITE = {"sitecustomize", "usercustomize"}
"""Loaded by an interpreter of this environment in any case."""
NEVER = {
    "asyncio", "concurrent", "email", "http", "pickletools", "pydoc", "socketserver", "sqlite3", "ssl", "unittest",
    "wsgiref", "xml", "zipfile",
}  # fmt: skip
"""Of the standard library: what a handler may import, and a worker for its own needs must not."""


def test_a_worker_has_imported_what_it_needs_and_no_more() -> None:
    """It has all that the supervisor and the template had when they forked, so this is about those, too."""
    found = {name.split(".")[0] for name in imports()}
    others = {name for name in found - sys.stdlib_module_names if not name.startswith("_")}
    assert others - SITE == NEEDED
    assert not found & NEVER


@pytest.mark.timeout(300)
def test_a_host_needs_hardly_more_than_a_prefork_that_does_nothing_and_does_not_grow() -> None:
    """The bound of the benchmark is 1.25, which limits, schedules, budgets and batches miss (docs/performance.md);
    here is room for a machine on which other things run."""
    with room() as place, worker_host(place, PROCESSES, 1, **compiled()) as host:
        work(place, 2_000)
        members = below({host.pid})
        assert len(members) == 2 + PROCESSES, "a supervisor, a template, and the workers"
        first = pss_mib(members)
        work(place, 20_000)
        later = pss_mib(below({host.pid}))
    bare = bare_mib(PACKAGES)
    assert first < 1.45 * bare, f"{first:.1f} MiB, and a bare prefork of the same packages {bare:.1f}"
    assert later < 1.2 * first, f"{first:.1f} MiB after 2,000 tasks, {later:.1f} after 22,000"
