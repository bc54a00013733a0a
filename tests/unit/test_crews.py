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
    (all,) = crews(app, QUEUES, threads=1)
    types = ["count", "fetch", "fetch@2", "poll", "resize"]
    assert all.types == [*types, *(f"v2/{type}" for type in types)]
    assert (all.digest, all.ways, all.is_needed) == (digest_of(all.types), [], True)


def test_a_queue_of_both_kinds_has_lanes_for_one_and_a_queue_of_one_kind_belongs_to_it() -> None:
    threads, loops = crews(app, QUEUES, coroutines=10)
    apart = ("fetch", "fetch@2")
    assert threads.types == ["count", "resize", "v2/count", "v2/resize"]
    assert threads.ways == [Way(None, apart), Way("nothing"), Way("nothing"), Way()]
    assert loops.types == [*apart, "poll", "v2/fetch", "v2/fetch@2", "v2/poll"]
    assert loops.ways == [Way("lanes", apart), Way("sound"), Way("sound"), Way("nothing")]
    assert threads.is_needed
    assert loops.is_needed
    assert threads.digest != loops.digest


def test_who_has_nothing_to_do_is_not_needed() -> None:
    needed = {queue: [crew.is_needed for crew in crews(app, [queue], coroutines=10)] for queue in QUEUES}
    assert needed == {
        "default": [True, True], "waits": [False, True], "waits/2": [False, True], "computes": [True, False],
    }  # fmt: skip
    nothing = crews(Distq("empty"), ["default"], coroutines=10)
    assert (nothing[THREADS].is_needed, nothing[LOOPS].is_needed) == (True, False)


def test_types_with_fewer_slots_than_there_are_seats_are_announced_for_themselves() -> None:
    app = Distq("shop")
    for number in (1, 4):
        app.task(type=f"in-threads-{number}", slots=number)(lambda: None)
    app.task(type="in-loops", slots=5, version=2, upgrade={1: lambda: ()})(poll.function)
    (all,) = crews(app, QUEUES, threads=4)
    types = ["in-loops", "in-loops@2", "in-threads-4"]
    assert all.types == [*types, *(f"v2/{type}" for type in types)]
    assert [(share.lanes, share.most, share.queue) for share in all.shares] == [
        (("in-threads-1", "v2/in-threads-1"), 1, "default")
    ]
    threads, loops = crews(app, QUEUES, threads=4, coroutines=100)
    assert ([share.lanes for share in threads.shares], threads.types) == (
        [("in-threads-1", "v2/in-threads-1")],
        ["in-threads-4", "v2/in-threads-4"],
    )
    assert ([share.lanes for share in loops.shares], loops.types) == (
        [("in-loops", "in-loops@2", "v2/in-loops", "v2/in-loops@2")],
        [],
    )
    assert Crew.read(json.loads(json.dumps(loops))) == loops
    (solo,) = crews(app, QUEUES)
    assert solo.shares == []
    app.declined = frozenset({"in-threads-1"})
    assert crews(app, QUEUES, threads=4)[0].shares == []


def test_a_crew_is_the_same_when_its_supervisor_has_read_it() -> None:
    for crew in crews(app, QUEUES, coroutines=10):
        assert Crew.read(json.loads(json.dumps(crew))) == crew
