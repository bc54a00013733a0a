"""renew: a supervisor renews the leases of its children, and sees who is silent."""

from __future__ import annotations

from distq.broker import together
from tests.support import states
from tests.support.room import Room, Worker, verdict


def renew(room: Room, *workers: Worker, host: str = "host", digest: str = "job") -> together.Renewal:
    (renewal,) = room.run(
        together.renew([room.prefix], host, 15_000, digest, ["job"], [worker.name for worker in workers])
    )
    assert renewal is not None
    return renewal


def test_leases_are_moved_on_and_what_is_held_is_counted(room: Room) -> None:
    _, worker = states.held(room)
    idle = room.register()
    room.pass_time(10_000)
    assert renew(room, worker, idle).held == [1, 0]
    assert room.redis.zscore(room.key("LEASES"), worker.name) > room.now_ms() + 14_000


def test_a_worker_that_was_reaped_is_not_brought_back(room: Room) -> None:
    _, worker = states.held(room)
    room.recover(worker, "lost")
    assert renew(room, worker).held == [-1]
    assert room.redis.zscore(room.key("LEASES"), worker.name) is None


def test_who_is_silent_for_half_a_lease_is_named_with_its_leases_end(room: Room) -> None:
    silent, loud = room.register(), room.register()
    room.pass_time(8_000)
    renewal = renew(room, loud)
    assert [name for name, _ in renewal.silent] == [silent.name]
    assert room.recover(silent, "lost", expected=renewal.silent[0][1]).word == "alive", "its lease has not ended yet"
    room.pass_time(8_000)
    until = renew(room, loud).silent[0][1]
    assert room.recover(silent, "lost", expected=until).word == "ok"


def test_a_group_that_nobody_renews_is_forgotten_with_its_marker(room: Room) -> None:
    other = room.register(["other"])
    room.redis.zadd(room.key("WAKE_GROUP", other.digest), {"w": 0})
    room.redis.delete(room.key("TYPES", other.digest))
    renew(room)
    assert not room.redis.sismember(room.key("GROUPS"), other.digest)
    assert not room.redis.exists(room.key("WAKE_GROUP", other.digest))


def test_a_lost_marker_is_set_again(room: Room) -> None:
    room.enqueue()
    room.redis.delete(room.key("WAKE"))
    renew(room)
    assert room.redis.exists(room.key("WAKE"))


def test_whether_there_is_a_keeper(room: Room) -> None:
    assert renew(room).keeper == ""
    room.tick("host")
    assert renew(room).keeper == "host"
    room.pass_time(15_001)
    assert renew(room, host="other").keeper == ""
    assert renew(room, host="host").keeper == "host"


def test_after_the_clock_was_set_back_a_dead_worker_is_silent_all_the_same(room: Room) -> None:
    dead, alive = room.register(), room.register()
    id = room.enqueue()
    room.hold(dead, id)
    room.pass_time(-3_600_000)
    assert sorted(name for name, _ in renew(room, alive).silent) == [dead.name]
    until = renew(room, alive).silent[0][1]
    assert room.recover(dead, "lost", expected=until).word == "ok"
    assert room.where(id) == "queued"


def test_what_ended_in_a_lane_that_nobody_takes_from_leaves_nothing(room: Room) -> None:
    ignorant = room.register(["job"])
    first = room.enqueue("old", expires_in=1000)
    room.hold(ignorant, first)
    room.step(ignorant, 0, [verdict(first, "park", type="old", number=86_400_000)])
    for _ in range(2):
        room.enqueue("old", expires_in=1000)
    room.pass_time(2000)
    room.tick()
    assert room.redis.scard(room.key("GHOSTS", "default")) == 3
    renew(room, ignorant)
    assert not room.redis.exists(
        room.key("GHOSTS", "default"),
        room.key("LANES"),
        room.key("LANES_AT", "default"),
        room.key("LANE", "default:old"),
    )
