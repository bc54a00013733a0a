"""pause: nothing more is handed out of a queue, a type, or a key, and nobody is woken for it."""

from __future__ import annotations

import pytest

from distq.broker import verbs
from tests.broker.test_flow import TYPES, entries, flow, make
from tests.support.room import Room, completed, verdict
from tests.support.switch import pause, resume


def markers(room: Room) -> list[str]:
    return [name for name in room.all_keys() if name.startswith((room.key("WAKE"), room.key("WAKE_ALONE")))]


def test_a_paused_queue_hands_out_nothing_and_wakes_nobody(room: Room) -> None:
    first = room.enqueue()
    worker = room.register(["job", "other"], limits={"other": "1000 5"})
    assert pause(room) == "paused"
    later, limited = room.enqueue(), room.enqueue("other")
    assert markers(room) == []
    assert entries(room.step(worker)) == []
    assert entries(room.step(worker, verdicts=[completed("nothing")])) == [], "nor by the long way"
    assert markers(room) == []
    assert resume(room) == "resumed"
    assert entries(room.step(worker)) == [limited, first, later]


def test_what_runs_in_a_paused_queue_goes_on(room: Room) -> None:
    id = room.enqueue()
    worker = room.register()
    room.hold(worker, id)
    pause(room)
    room.step(worker, verdicts=[completed(id)])
    assert room.where(id) == "completed"


def test_in_a_paused_queue_what_is_scheduled_becomes_ready_and_waits(room: Room) -> None:
    id = room.enqueue(delay=1000)
    worker = room.register()
    pause(room)
    room.pass_time(2000)
    room.tick()
    assert room.where(id) == "queued"
    assert entries(room.step(worker)) == []
    resume(room)
    assert entries(room.step(worker)) == [id]


def test_a_paused_queue_hands_out_no_suspects(room: Room) -> None:
    id, isolated = room.enqueue(), room.enqueue()
    worker = room.register()
    room.step(worker)
    room.recover(worker, "died", started=[id.encode()], ran=2)
    pause(room)
    other = room.register()
    assert entries(room.step(other)) == []
    assert markers(room) == []
    resume(room)
    assert entries(room.step(other)) == [id]
    assert entries(room.step(other, verdicts=[completed(id)])) == [isolated]


def test_who_pauses_first_stays(room: Room) -> None:
    assert [pause(room, who="ann"), pause(room, who="bob")] == ["paused", "already"]
    assert b"ann" in room.redis.get(room.key("STOPPED"))
    assert [pause(room, "job", who="ann"), pause(room, "job", who="bob")] == ["paused", "already"]
    assert b"ann" in room.redis.hget(room.key("PAUSED"), "job")


def test_a_paused_type_waits_and_others_flow_past_it(room: Room) -> None:
    """It has no limits, and waits in the list of its priority when it is paused."""
    before = [room.enqueue() for _ in range(3)]
    worker = room.register(["job", "other"])
    assert pause(room, "job") == "paused"
    after, other = [room.enqueue() for _ in range(2)], room.enqueue("other")
    assert entries(room.step(worker)) == [other]
    assert entries(room.step(worker, verdicts=[verdict(other, "complete", type="other", number=600_000)])) == []
    assert markers(room) == []
    assert room.run(verbs.depths(room.prefix)).default == 5
    assert resume(room, "job") == "resumed"
    assert set(entries(room.step(worker))) == {*before, *after}


def test_after_its_pause_a_type_without_limits_is_as_before(room: Room) -> None:
    room.register(["job"])
    pause(room, "job")
    resume(room, "job")
    assert not room.redis.exists(room.key("LANES"), room.key("PAUSED"), room.key("FLOWS"), room.key("FLOWING"))
    pause(room, "job")
    waited = room.enqueue()
    resume(room, "job")
    later = room.enqueue()
    worker = room.register(["job"])
    assert entries(room.step(worker)) == [waited, later]
    room.step(worker, verdicts=[completed(waited), completed(later)])
    assert not room.redis.exists(room.key("LANES"))


def test_after_its_pause_a_limited_type_is_limited(room: Room) -> None:
    """One an hour, two at once."""
    limit = f"{3600_000_000} 2"
    ids = [room.enqueue(limit=limit) for _ in range(3)]
    worker = room.register(["job"], limits={"job": limit})
    pause(room, "job")
    assert entries(room.step(worker)) == []
    assert room.redis.hget(room.key("LANES"), "job") == b"flow"
    resume(room, "job")
    assert room.redis.hget(room.key("LANES"), "job") == b"limited"
    assert entries(room.step(worker)) == ids[:2]
    assert entries(room.step(worker)) == []


def test_a_paused_key_waits_and_others_do_not(room: Room) -> None:
    a, b = make(room, 2, "a", flow=flow(mk=5)), make(room, 2, "b", flow=flow(mk=5))
    worker = room.register(TYPES, flows={"job": {"mk": 5}})
    pause(room, "job", "a")
    assert entries(room.step(worker)) == b
    assert markers(room) == []
    resume(room, "job", "a")
    assert entries(room.step(worker)) == a


def test_a_version_that_comes_during_the_pause_waits_too(room: Room) -> None:
    worker = room.register(["job"])
    pause(room, "job")
    new = room.enqueue("job@2")
    assert entries(room.step(worker)) == []
    other = room.register(["job", "job@2"], limits={"job": "", "job@2": ""})
    assert entries(room.step(other)) == []
    resume(room, "job")
    assert entries(room.step(other)) == [new]


@pytest.mark.parametrize("how", ["died", "lost"])
def test_a_suspect_of_a_paused_type_waits_and_is_a_suspect_again(room: Room, how: verbs.How) -> None:
    first, second = room.enqueue(), room.enqueue()
    worker = room.register()
    room.step(worker)
    room.recover(worker, how, started=[first.encode(), second.encode()] if how == "died" else [])
    pause(room, "job")
    other = room.register()
    assert entries(room.step(other)) == []
    assert markers(room) == []
    resume(room, "job")
    got = room.step(other)
    assert (len(got.entries), got.alone) == (1, 1)


def test_an_isolated_task_of_a_paused_type_waits_too(room: Room) -> None:
    id = room.enqueue()
    for _ in range(2):
        worker = room.register()
        room.step(worker)
        room.recover(worker, "lost")
    alone = room.register(takes="isolated")
    pause(room, "job")
    assert entries(room.step(alone, want=1)) == []
    assert markers(room) == []
    assert room.redis.exists(room.key("LANE", "default:job !suspects")), "it waits with its type"
    resume(room, "job")
    assert room.redis.exists(room.key("WAKE_GROUP", "isolated"))
    assert entries(room.step(alone, want=1)) == [id]


def test_what_waits_while_it_is_paused_can_be_cancelled_and_purged(room: Room) -> None:
    first, second = room.enqueue(), room.enqueue()
    worker = room.register()
    pause(room, "job")
    room.step(worker)
    assert room.cancel(first) == "cancelled"
    assert room.run(verbs.purge(room.prefix, "default", "test")) == 1, "the first one has left its lane"
    assert room.where(second) == "cancelled"
    resume(room, "job")


def test_a_suspect_that_a_pause_held_back_does_not_wait_behind_those_that_wait_for_its_place(room: Room) -> None:
    first, second = make(room, 2, "", flow=flow(m=1))
    worker = room.register(TYPES, flows={"job": {"m": 1}})
    assert room.step(worker).entries == [first.encode()]
    pause(room, "job")
    room.recover(worker, "died", started=[first.encode()])
    other = room.register(TYPES, flows={"job": {"m": 1}})
    room.step(other)
    resume(room, "job")
    assert room.step(other).entries == [first.encode()]
    assert room.step(other, verdicts=[completed(first)]).entries == [second.encode()]
