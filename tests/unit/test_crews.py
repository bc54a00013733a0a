"""Which processes of a host serve which queues, and how."""

from __future__ import annotations

import json

from distq import Distq
from distq.supervisor.crews import LOOPS, THREADS, Crew, crews, digest_of
from distq.worker.line import Way

app = Distq("shop")
app.queue("waits")
app.queue("computes")


@app.task(type="resize")
def resize() -> None: ...


@app.task(type="fetch", version=2, upgrade={1: lambda: ()})
async def fetch() -> None: ...


@app.task(type="poll", queue="waits")
async def poll() -> None: ...


@app.task(type="count", queue="computes")
def count() -> None: ...


QUEUES = ["default", "waits", "waits/2", "computes"]


def test_without_loops_there_is_one_crew_for_everything() -> None:
    (all,) = crews(app, QUEUES, has_loops=False)
    assert all.types == ["count", "fetch", "fetch@2", "poll", "resize"]
    assert (all.digest, all.ways, all.is_needed) == (digest_of(all.types), [], True)


def test_a_queue_of_both_kinds_has_lanes_for_one_and_a_queue_of_one_kind_belongs_to_it() -> None:
    threads, loops = crews(app, QUEUES, has_loops=True)
    apart = ("fetch", "fetch@2")
    assert threads.types == ["count", "resize"]
    assert threads.ways == [Way(None, apart), Way("nothing"), Way("nothing"), Way()]
    assert loops.types == [*apart, "poll"]
    assert loops.ways == [Way("lanes", apart), Way("sound"), Way("sound"), Way("nothing")]
    assert threads.is_needed
    assert loops.is_needed
    assert threads.digest != loops.digest


def test_who_has_nothing_to_do_is_not_needed() -> None:
    needed = {queue: [crew.is_needed for crew in crews(app, [queue], has_loops=True)] for queue in QUEUES}
    assert needed == {
        "default": [True, True], "waits": [False, True], "waits/2": [False, True], "computes": [True, False],
    }  # fmt: skip
    nothing = crews(Distq("empty"), ["default"], has_loops=True)
    assert (nothing[THREADS].is_needed, nothing[LOOPS].is_needed) == (True, False)


def test_a_crew_is_the_same_when_its_supervisor_has_read_it() -> None:
    for crew in crews(app, QUEUES, has_loops=True):
        assert Crew.read(json.loads(json.dumps(crew))) == crew
