"""Types of which a worker takes only some at a time: `register` with `shares`, and what its steps say."""

from __future__ import annotations

from distq.broker import together, verbs
from tests.support.room import Room, Worker, verdict

PDF = ("gpdf", True, ("pdf", "pdf@2"))


def threads(room: Room, *types: str) -> Worker:
    """A worker of several threads with few slots for `pdf`."""
    return room.register(types or ("mail",), takes="sound", shares=[PDF])


def room_for(number: int) -> str:
    return f" gpdf={number}=pdf,pdf@2"


def entries(step: verbs.Step) -> list[str]:
    return [entry.decode() for entry in step.entries]


def marker(room: Room, group: str) -> bool:
    return bool(room.redis.exists(room.key("WAKE_GROUP", group)))


def test_a_step_brings_as_many_as_there_is_room_for_and_others_flow_past(room: Room) -> None:
    worker = threads(room)
    both = [(room.enqueue("pdf"), room.enqueue("mail")) for _ in range(5)]
    pdfs, mails = map(list, zip(*both, strict=True))
    assert sorted(entries(room.step(worker, want=20, shares=room_for(2)))) == sorted([*pdfs[:2], *mails])
    assert entries(room.step(worker, want=20, shares=room_for(0))) == []
    assert entries(room.step(worker, want=20, shares=room_for(1))) == [pdfs[2]]


def test_several_such_types_do_not_take_all_seats_from_others(room: Room) -> None:
    worker = threads(room)
    for _ in range(300):
        room.enqueue("pdf")
    mail = room.enqueue("mail")
    handed = [entries(room.step(worker, want=1, shares=room_for(9)))[0] for _ in range(200)]
    assert mail in handed
    assert len(set(handed)) == 200


def test_all_versions_of_a_type_have_its_room_together(room: Room) -> None:
    worker = threads(room)
    for type in ("pdf", "pdf@2") * 3:
        room.enqueue(type)
    assert len(entries(room.step(worker, want=20, shares=room_for(3)))) == 3


def test_who_has_no_room_is_not_woken(room: Room) -> None:
    worker = threads(room)
    room.enqueue("pdf")
    assert marker(room, "gpdf")
    assert not marker(room, worker.digest)
    assert not room.redis.exists(room.key("WAKE"))
    room.step(worker, shares=room_for(1))
    assert not marker(room, "gpdf")


def test_who_knows_of_no_slots_takes_them_from_their_lane(room: Room) -> None:
    threads(room)
    other = room.register(["mail", "pdf"])
    ids = [room.enqueue("pdf") for _ in range(5)]
    assert marker(room, other.digest)
    assert entries(room.step(other)) == ids


def test_in_another_queue_they_get_a_lane_when_they_are_met(room: Room) -> None:
    worker = room.register(["mail"], takes="sound", shares=[("gpdf", False, ("pdf",))])
    assert not room.redis.exists(room.key("LANES"))
    ids = [room.enqueue(type) for type in ("pdf", "mail", "pdf")]
    assert entries(room.step(worker, shares=room_for(1))) == [ids[1]]
    assert marker(room, "gpdf")
    assert entries(room.step(worker, shares=room_for(1))) == [ids[0]]


def test_a_rate_and_slots_hold_together(room: Room) -> None:
    worker = room.register(["mail"], {"pdf": "1000000 3"}, takes="sound", shares=[PDF])
    ids = [room.enqueue("pdf") for _ in range(5)]
    assert entries(room.step(worker, shares=room_for(2))) == ids[:2]
    assert entries(room.step(worker, shares=room_for(2))) == ids[2:3]
    assert not marker(room, "gpdf")


def test_priorities_hold_between_lanes_and_others(room: Room) -> None:
    worker = threads(room)
    low, high = room.enqueue("pdf", priority=0), room.enqueue("mail", priority=2)
    assert entries(room.step(worker, want=1, shares=room_for(2))) == [high]
    assert entries(room.step(worker, want=1, shares=room_for(2))) == [low]


def test_the_lane_lives_as_long_as_renewals_say_so_and_then_loses_nothing(room: Room) -> None:
    worker = threads(room)
    room.redis.delete(room.key("TYPES", "gpdf"))
    room.run(together.renew([room.prefix], "host", 15_000, worker.digest, ["mail"], [worker.name]))
    assert room.redis.smembers(room.key("TYPES", "gpdf")) == {b"pdf", b"pdf@2"}
    assert 0 < room.redis.pttl(room.key("TYPES", "gpdf")) <= 60_000
    held = room.enqueue("pdf")
    room.recover(worker, "left")
    room.redis.delete(room.key("TYPES", "gpdf"))
    other = room.register(["mail", "pdf"])
    room.run(together.renew([room.prefix], "host", 15_000, other.digest, ["mail", "pdf"], [other.name]))
    assert not room.redis.hexists(room.key("META"), "apart")
    assert entries(room.step(other)) == [held]
    room.step(other, verdicts=[verdict(held, "complete", type="pdf", number=60_000)])
    assert not room.redis.exists(room.key("LANES"))
