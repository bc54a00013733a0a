"""step: a worker's round trip settles and reserves, behind its two fences."""

from __future__ import annotations

import pytest

from distq.broker import verbs
from distq.broker.broker import Broker
from distq.broker.completed import last
from tests.support import states
from tests.support.arrows import arrow
from tests.support.room import Room, buried, completed, released, retried, verdict


def entries_of(step: verbs.Step) -> list[str]:
    return [entry.decode() for entry in step.entries]


@arrow("queued", "active", "step")
def test_a_worker_reserves(room: Room) -> None:
    id, worker = room.enqueue(), room.register()
    assert room.where(id) == "queued"
    step = room.step(worker)
    assert entries_of(step) == [id]
    assert room.where(id) == "active"
    assert room.lists()[room.key("PROCESSING", worker.name)] == [id]


@arrow("active", "completed", "step")
def test_complete(room: Room) -> None:
    id, worker = states.held(room)
    room.step(worker, 0, [completed(id, "value")])
    assert room.where(id) == "completed"
    assert room.result(id)[1] == "value"
    assert room.redis.lrange(room.key("COMPLETED"), 0, -1)[1:] == [id.encode()]


@arrow("active", "scheduled", "step")
def test_retry_with_a_delay_counts_an_attempt(room: Room) -> None:
    id, worker = states.held(room)
    room.step(worker, 0, [retried(id, 60_000)])
    assert room.where(id) == "scheduled"
    assert room.head(id).attempt == 1
    assert [record["type"] for record in room.attempts(id)] == ["E"]


@arrow("active", "queued", "step")
def test_retry_at_once(room: Room) -> None:
    id, worker = states.held(room)
    room.step(worker, 0, [retried(id, 0)])
    assert room.where(id) == "queued"
    assert room.head(id).attempt == 1


@pytest.mark.parametrize(("delay", "state"), [(0, "queued"), (60_000, "scheduled")])
def test_snooze_costs_no_attempt(room: Room, delay: int, state: str) -> None:
    id, worker = states.held(room)
    room.step(worker, 0, [verdict(id, "snooze", number=delay)])
    assert room.where(id) == state
    assert room.head(id).attempt == 0


@arrow("active", "dead", "step")
def test_bury(room: Room) -> None:
    id, worker = states.held(room)
    room.step(worker, 0, [buried(id)])
    assert room.where(id) == "dead"
    assert room.result(id)[0] == "dead"
    assert [record["type"] for record in room.attempts(id)] == ["E"]


def test_what_is_given_back_comes_first_again_and_in_its_order(room: Room) -> None:
    ids, worker = [room.enqueue() for _ in range(4)], room.register()
    held = entries_of(room.step(worker, 3))
    assert held == ids[:3]
    room.step(worker, 0, released(held))
    assert room.lists()[room.key("QUEUE", "default")] == ids
    assert room.head(ids[0]).attempt == 0


def test_a_type_that_the_worker_does_not_know_waits_for_one_that_does(room: Room) -> None:
    id, ignorant = room.enqueue("new"), room.register(["job"])
    room.hold(ignorant, id)
    room.step(ignorant, 0, [verdict(id, "park", type="new", number=86_400_000)])
    assert room.where(id) == "queued"
    assert entries_of(room.step(ignorant)) == []
    assert entries_of(room.step(room.register(["job", "new"]))) == [id]
    assert room.head(id).attempt == 0


def test_a_suspect_of_an_unknown_type_waits_for_one_that_knows_it_too(room: Room) -> None:
    """Else a worker that does not know it would get it again and again, without an end."""
    id, knowing = room.enqueue("new"), room.register(["new"])
    room.hold(knowing, id)
    room.recover(knowing, "lost")
    ignorant = room.register(["job"])
    room.hold(ignorant, id)
    room.step(ignorant, 0, [verdict(id, "park", type="new", number=86_400_000)])
    assert entries_of(room.step(ignorant)) == []
    assert not room.redis.exists(room.key("WAKE"))
    assert entries_of(room.step(room.register(["new"]))) == [id]


def test_a_lane_of_an_unknown_type_ends_when_it_is_empty(room: Room) -> None:
    first, ignorant = room.enqueue("new"), room.register(["job"])
    room.hold(ignorant, first)
    room.step(ignorant, 0, [verdict(first, "park", type="new", number=86_400_000)])
    knowing = room.register(["job", "new"])
    room.step(knowing, 0)
    room.step(knowing, 10)
    assert not room.redis.exists(room.key("LANES"))
    room.enqueue("new")
    assert len(room.lists()[room.key("QUEUE", "default")]) == 1


def test_what_may_not_start_any_more_is_never_handed_over_however_many_there_are(room: Room) -> None:
    """Nobody keeps the time, and one step passes the deadlines of a hundred only."""
    late = [room.enqueue(expires_in=1000) for _ in range(350)]
    room.pass_time(2000)
    alive = room.enqueue()
    worker = room.register()
    found: list[str] = []
    for _ in range(5):
        found += entries_of(room.step(worker, 128))
    assert found == [alive]
    assert {room.where(id) for id in late} == {"expired"}


@arrow("queued", "dead", "step")
def test_a_type_that_nobody_knew_for_too_long_is_dead(room: Room) -> None:
    id, worker = room.enqueue("new"), room.register()
    room.hold(worker, id)
    room.step(worker, 0, [verdict(id, "park", type="new", number=86_400_000)])
    assert room.where(id) == "queued"
    room.pass_time(86_400_001)
    room.step(worker, 0)
    assert room.where(id) == "dead"
    assert "no worker knew the type new" in room.attempts(id)[-1]["message"]


@arrow("queued", "expired", "step")
def test_what_expired_does_not_start(room: Room) -> None:
    id, worker = room.enqueue(expires_in=1000), room.register()
    assert room.where(id) == "queued"
    room.pass_time(1002)
    assert entries_of(room.step(worker)) == []
    assert room.where(id) == "expired"


@arrow("scheduled", "expired", "step")
def test_what_expires_before_its_time_is_over(room: Room) -> None:
    id, worker = room.enqueue(delay=5000, expires_in=1000), room.register()
    assert room.where(id) == "scheduled"
    room.pass_time(1002)
    room.step(worker)
    assert room.where(id) == "expired"


def test_what_has_started_does_not_expire(room: Room) -> None:
    id, worker = states.held(room, expires_in=1000)
    room.pass_time(2000)
    room.tick()
    assert room.where(id) == "active"
    room.step(worker, 0, [completed(id)])
    assert room.where(id) == "completed"


@arrow("scheduled", "queued", "step")
def test_a_step_promotes_what_is_due(room: Room) -> None:
    id, worker = room.enqueue(delay=1000), room.register()
    assert room.where(id) == "scheduled"
    room.pass_time(1002)
    room.step(worker, 0)
    assert room.where(id) == "queued"


# -- order ------------------------------------------------------------------------------------------------------------


def test_higher_priorities_come_first_whenever_they_came(room: Room) -> None:
    low, default, high = (room.enqueue(priority=priority) for priority in (0, 1, 2))
    worker = room.register()
    assert entries_of(room.step(worker, 1)) == [high]
    assert entries_of(room.step(worker, 2)) == [default, low]


def test_within_a_priority_the_first_comes_first(room: Room) -> None:
    ids = [room.enqueue() for _ in range(5)]
    assert entries_of(room.step(room.register(), 5)) == ids


def test_no_more_than_wanted(room: Room) -> None:
    for _ in range(5):
        room.enqueue()
    assert len(room.step(room.register(), 3).entries) == 3


def test_no_more_bytes_than_there_is_room_for_but_always_one(room: Room) -> None:
    ids = [room.enqueue(body=b"x" * 1000) for _ in range(4)]
    worker = room.register()
    assert entries_of(room.step(worker, 10, room=2100)) == ids[:2]
    assert entries_of(room.step(worker, 10, room=10)) == [ids[2]]
    assert room.where(ids[3]) == "queued"


def test_fences_rise_with_each_hand_over(room: Room) -> None:
    for _ in range(3):
        room.enqueue()
    worker = room.register()
    first = room.step(worker, 2)
    second = room.step(worker, 1)
    assert second.fence == first.fence + 2


def test_ghosts_are_skipped_and_forgotten(room: Room) -> None:
    ghost, alive = room.enqueue(), room.enqueue()
    room.cancel(ghost)
    assert entries_of(room.step(room.register())) == [alive]
    assert not room.redis.exists(room.key("GHOSTS", "default"))


# -- limits -----------------------------------------------------------------------------------------------------------


def test_a_limited_type_is_handed_out_as_its_tokens_allow(room: Room) -> None:
    limited = [room.enqueue("mail", limit="1000000 2") for _ in range(5)]
    free, worker = room.enqueue(), room.register(["job", "mail"], {"mail": "1000000 2"})
    assert entries_of(room.step(worker, 10)) == [*limited[:2], free]
    assert entries_of(room.step(worker, 10)) == []
    room.pass_time(1002)
    assert entries_of(room.step(worker, 10)) == [limited[2]]


def test_the_limit_holds_for_the_fleet(room: Room) -> None:
    for _ in range(5):
        room.enqueue("mail", limit="1000000 2")
    workers = [room.register(["mail"], {"mail": "1000000 2"}) for _ in range(3)]
    assert sum(len(room.step(worker, 10).entries) for worker in workers) == 2


def test_a_type_that_gets_a_limit_later_moves_into_its_lane(room: Room) -> None:
    for _ in range(5):
        room.enqueue("mail")
    worker = room.register(["mail"], {"mail": "1000000 2"})
    assert len(room.step(worker, 10).entries) <= 2
    assert len(room.step(worker, 10).entries) <= 2
    total = sum(len(entries) for name, entries in room.lists().items() if "processing" in name)
    assert total == 2


# -- fences -----------------------------------------------------------------------------------------------------------


def test_sent_again_a_step_settles_nothing_and_tells_what_the_worker_holds(room: Room) -> None:
    first, second = room.enqueue(), room.enqueue()
    worker = room.register()
    room.step(worker, 1)
    original = room.step(worker, 1, [retried(first, 60_000)])
    before = room.snapshot()
    again = room.step(worker, 1, [retried(first, 60_000)], number=worker.number)
    assert entries_of(again) == entries_of(original) == [second]
    assert (again.fence, again.messages) == (original.fence, original.messages)
    assert room.snapshot() == before
    assert room.head(first).attempt == 1


def test_bytes_of_a_dead_connection_that_arrive_late_do_nothing(room: Room) -> None:
    id, worker = room.enqueue(), room.register()
    room.hold(worker, id)
    room.step(worker, 0)
    before = room.snapshot()
    late = room.step(worker, 10, [completed(id)], number=worker.number - 1)
    assert (late.word, late.entries) == ("stale", [])
    assert room.snapshot() == before


def test_a_worker_that_was_reaped_settles_and_gets_nothing(room: Room) -> None:
    id, worker = states.held(room)
    room.recover(worker, "lost")
    room.enqueue()
    before = room.snapshot()
    gone = room.step(worker, 10, [completed(id)])
    assert (gone.word, gone.entries) == ("gone", [])
    assert room.snapshot() == before


@pytest.mark.parametrize("word", ["complete", "complete_again", "retry", "snooze", "bury", "release", "park"])
@pytest.mark.parametrize("state", states.all_but())
def test_a_verdict_on_what_the_worker_does_not_hold_changes_nothing(room: Room, word: str, state: str) -> None:
    id, stranger = states.MAKE[state](room), room.register()
    room.step(stranger, 0)
    before = room.snapshot()
    step = room.step(stranger, 0, [verdict(id, word, number=1000, blob=b"\x90")])
    assert step.late == 1
    assert _without_its_own_step(room, stranger.name) == {
        k: v for k, v in before.items() if not k.endswith(stranger.name)
    }


def _without_its_own_step(room: Room, worker: str) -> dict[str, object]:
    return {name: value for name, value in room.snapshot().items() if not name.endswith(worker)}


def test_a_verdict_twice_in_one_step_counts_once(room: Room) -> None:
    id, worker = states.held(room)
    assert room.step(worker, 0, [completed(id), completed(id)]).late == 1
    assert room.ledger()["completed job"] == 1


def test_a_full_broker_lets_a_step_pass(room: Room) -> None:
    """Settling frees memory: it must not be refused for the lack of it."""
    first, second = room.enqueue(), room.enqueue()
    worker = room.register()
    room.step(worker, 1)
    try:
        room.redis.config_set("maxmemory", 1)
        step = room.step(worker, 1, [completed(first)])
    finally:
        room.redis.config_set("maxmemory", 0)
    assert room.where(first) == "completed"
    assert entries_of(step) == [second]


# -- what is kept -----------------------------------------------------------------------------------------------------


def test_results_and_attempts_end_some_time(room: Room) -> None:
    id, worker = states.held(room)
    room.step(worker, 0, [retried(id, 0)])
    again = verdict(room.hold(worker, id), "complete_again", number=90_000, blob=b"\x91\xa9completed")
    room.step(worker, 0, [again])
    assert 80_000 < room.redis.pttl(room.key("ATTEMPTS", id)) <= 90_000
    assert all(room.redis.pttl(shelf) >= 80_000 for shelf in room.shelves())


def test_the_last_hundred_completed_are_listed(room: Room) -> None:
    worker = room.register()
    for _ in range(3):
        for _ in range(50):
            room.enqueue()
        room.step(worker, 0, [completed(entry) for entry in entries_of(room.step(worker, 50))])
        room.enqueue()
        room.step(worker, 0, [completed(entry) for entry in entries_of(room.step(worker, 1))])
    found = last(Broker(room.app, room.url, 5.0), room.queue)
    assert 100 <= len(found) < 200
    assert {(one.type, one.worker) for one in found} == {("job", worker.name)}
    assert all(abs(one.finished_ms - room.now_ms()) < 60_000 for one in found)


def test_a_task_keeps_its_last_hundred_attempts(room: Room) -> None:
    id, worker = room.enqueue(), room.register()
    for _ in range(105):
        room.step(worker, 0, [retried(room.hold(worker, id), 0)])
    assert len(room.attempts(id)) == 100
    assert room.head(id).attempt == 105
