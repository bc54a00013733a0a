"""register: a worker begins."""

from __future__ import annotations

from distq.broker import keys, verbs
from tests.support.room import Room


def test_it_holds_a_lease_and_announces_its_types(room: Room) -> None:
    worker = room.register(["a", "b"])
    assert room.redis.zscore(room.key("LEASES"), worker.name) >= room.now_ms() + 14_000
    assert room.redis.smembers(room.key("TYPES", worker.digest)) == {b"a", b"b"}
    assert room.redis.sismember(room.key("GROUPS"), worker.digest)
    assert room.redis.hget(room.key("META"), "layout") == b"%d" % keys.LAYOUT


def test_another_layout_refuses_it_and_changes_nothing(room: Room) -> None:
    room.redis.hset(room.key("META"), "layout", "999")
    before = room.snapshot()
    command = verbs.register(room.prefix, "w", "h", 15_000, "d", b"{}", "all", ["job"], {})
    assert room.run(command) == ["layout", "999"]
    assert room.snapshot() == before


def test_the_last_declared_limit_wins_and_keeps_what_was_taken(room: Room) -> None:
    first = room.register(["mail"], {"mail": "60000000 1"})
    room.enqueue("mail", limit="60000000 1")
    assert len(room.step(first).entries) == 1
    tat = float(room.redis.hget(room.key("LIMITS"), "mail").split()[2])
    begun = room.now_ms() * 1000
    room.register(["mail"], {"mail": "1000000 5"})
    assert room.redis.hget(room.key("LIMITS"), "mail").split()[:2] == [b"1000000", b"5"]
    kept = float(room.redis.hget(room.key("LIMITS"), "mail").split()[2])
    assert begun <= kept - 5_000_000 <= room.now_ms() * 1000 + 1000, "no more than the burst of the new one"
    assert kept < tat


def test_a_limit_that_is_no_longer_declared_ends_and_its_tasks_run(room: Room) -> None:
    ids = [room.enqueue("mail", limit="60000000 1") for _ in range(3)]
    worker = room.register(["mail"], {"mail": ""})
    assert [entry.decode() for entry in room.step(worker).entries] == ids
    room.enqueue("mail")
    assert len(room.lists()[room.key("QUEUE", "default")]) == 1


def test_a_worker_that_knows_a_waiting_type_is_woken_for_it(room: Room) -> None:
    room.enqueue("mail", limit="60000000 1")
    worker = room.register(["mail"], {"mail": "60000000 1"})
    assert room.redis.exists(room.key("WAKE_GROUP", worker.digest))


def test_a_full_broker_lets_it_pass(room: Room) -> None:
    """Who could free its memory must not be locked out."""
    id = room.enqueue()
    try:
        room.redis.config_set("maxmemory", 1)
        worker = room.register()
        room.hold(worker, id)
    finally:
        room.redis.config_set("maxmemory", 0)
