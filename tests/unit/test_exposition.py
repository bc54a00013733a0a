"""The text of `/metrics` is what Prometheus's own client reads, and comes in small pieces."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from distq.broker.backlog import Backlog
from distq.broker.ledger import Tally
from distq.broker.verbs import Depths
from distq.exposition import of_queues
from distq.run_times import BUCKETS, STATUSES
from distq.supervisor.host_page import AT_ONCE, of_types
from distq.worker.board import TYPES, Board
from distq.worker.meters import Meters

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
attempts = st.tuples(st.integers(0, 3), st.sampled_from(STATUSES), st.floats(0, 1000))


def of(tally: Tally) -> Backlog:
    return Backlog(tally, 1, 2, 3000, 4500, {})


def families(text: str) -> dict[str, Any]:
    parse: Any = text_string_to_metric_families
    return {family.name: family for family in parse(text)}


@given(st.lists(names, min_size=4, max_size=4, unique=True), st.lists(attempts, max_size=30))
def test_it_says_what_was_counted_by_all_slots(types: list[str], counted: list[tuple[int, str, float]]) -> None:
    board = Board(2)
    meters = [Meters(slot, types) for slot in board.slots]
    for number, (type, status, seconds) in enumerate(counted):
        meters[number % 2](types[type])(status, seconds)
    found = families("".join(of_types(board, types)))
    assert set(found) == {"distributedq_processed", "distributedq_task_duration_seconds"}
    processed = {(s.labels["type"], s.labels["status"]): s.value for s in found["distributedq_processed"].samples}
    assert processed == {
        (name, status): sum(type == place and said == status for type, said, _ in counted)
        for place, name in enumerate(types)
        for status in STATUSES
    }
    for place, name in enumerate(types):
        mine = [seconds for type, _, seconds in counted if type == place]
        samples = [s for s in found["distributedq_task_duration_seconds"].samples if s.labels["type"] == name]
        totals = {s.labels["le"]: s.value for s in samples if s.name.endswith("_bucket")}
        assert totals == {str(bound): sum(seconds <= bound for seconds in mine) for bound in BUCKETS} | {
            "+Inf": len(mine)
        }
        rest = {s.name.rpartition("_")[2]: s.value for s in samples if not s.name.endswith("_bucket")}
        assert rest["count"] == len(mine)
        assert abs(rest["sum"] - sum(mine)) < 1e-6


def test_depths_are_told_for_each_queue_and_for_all_of_the_host_together() -> None:
    depths = Depths(*range(1, len(Depths._fields) + 1))
    found = families("".join(of_queues({"a": of(Tally(depths, {})), "b": of(Tally(depths, {}))}, [])))
    samples = {s.labels["queue"]: s.value for s in found["distributedq_queue_depth"].samples}
    assert samples == {
        "main_queue": 2 * (depths.high + depths.default + depths.low),
        "processing_queue": 2 * depths.running,
        "delayed_queue": 2 * depths.scheduled,
        "dead_letter_queue": 2 * depths.dead,
    }
    told = {(s.labels["queue"], s.labels["priority"]): s.value for s in found["distributedq_waiting_tasks"].samples}
    assert told == {(queue, level): getattr(depths, level) for queue in "ab" for level in ("high", "default", "low")}
    of_a = {name: [s.value for s in family.samples if s.labels == {"queue": "a"}] for name, family in found.items()}
    assert of_a["distributedq_running_tasks"] == [depths.running]
    assert of_a["distributedq_limited_tasks"] == [2]
    assert of_a["distributedq_oldest_task_age_seconds"] == [3]
    assert of_a["distributedq_schedule_lag_seconds"] == [4.5]


def test_the_ledger_is_told_per_queue_and_with_the_hosts_own_types() -> None:
    nothing = Depths(*[0] * len(Depths._fields))
    counts = {
        "enqueued a": 5,
        "completed a": 2,
        "completed a@2": 1,
        "corrected a": -1,
        "enqueued x": 1,
        "enqueued y": 2,
        "dead y": 3,
    }
    queues = {"mail": of(Tally(nothing._replace(live=2), counts)), "main": of(Tally(nothing, {}))}
    found = families("".join(of_queues(queues, ["a", "b"])))
    samples = found["distributedq_tasks"].samples
    told = {(s.labels["queue"], s.labels["state"], s.labels["type"]): s.value for s in samples}
    assert told == {
        ("mail", "enqueued", "a"): 5,
        ("mail", "completed", "a"): 3,
        ("mail", "enqueued", "(other)"): 3,
        ("mail", "dead", "(other)"): 3,
    }
    differences = {s.labels["queue"]: s.value for s in found["distributedq_ledger_difference"].samples}
    assert differences == {"mail": -1, "main": 0}


def test_no_piece_is_about_more_than_a_few_types() -> None:
    types = [f"type{number}" for number in range(5 * AT_ONCE)]
    lines = [piece.count("\n") for piece in of_types(Board(1), types)]
    assert sum(lines) > 20 * len(types)
    assert max(lines) <= 20 * AT_ONCE


def test_types_that_share_the_last_place_are_told_once() -> None:
    board, types = Board(1), [f"type{number}" for number in range(TYPES + 3)]
    for type in (types[5], *types[TYPES:]):
        Meters(board.slots[0], types)(type)("success", 1)
    samples = families("".join(of_types(board, types)))["distributedq_processed"].samples
    told = {sample.labels["type"]: sample.value for sample in samples if sample.value}
    assert told == {"type5": 1, "(other)": 3}
