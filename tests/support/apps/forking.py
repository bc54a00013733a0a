"""Calls at every moment at which a connection could be taken along through a fork."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from distq import Distq
from tests.support.journal import running

AT_IMPORT = os.environ.get("AT_IMPORT")
app = Distq("app", broker=AT_IMPORT)


@app.task
def leaf(label: str) -> str:
    with running(label):
        return label


@app.on_worker_start
def begin() -> None:
    several(f"start-{os.getpid()}", 10)


def several(label: str, number: int) -> None:
    """From several threads at once; each looks at an answer of its own, too."""
    with ThreadPoolExecutor(4) as threads:
        handles = list(threads.map(lambda n: leaf.delay(f"{label}-{n}"), range(number)))
        assert len({handle.id for handle in handles}) == number
        assert "unknown" not in set(threads.map(lambda handle: handle.status(), handles))


@app.task
def sends(label: str, number: int) -> None:
    """Beside itself its own child calls, with the connections of both open at the time of the fork."""
    pid = os.fork()
    several(f"{label}-{'child' if pid == 0 else 'parent'}", number)
    if pid == 0:
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


@app.task
async def asends(label: str, number: int) -> None:
    handles = [await leaf.adelay(f"{label}-{n}") for n in range(number)]
    assert "unknown" not in {await handle.astatus() for handle in handles}


if AT_IMPORT:  # in the template, whose connection stays open while it forks
    leaf.delay("import")
    several("import", 4)
