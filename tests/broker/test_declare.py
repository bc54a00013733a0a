"""declare: a schedule of the code lives as long as some living host's code has it, and a while longer."""

from __future__ import annotations

from tests.support import ticking
from tests.support.room import Room


def begin(room: Room, host: str = "old", digest: str = "one", *names: str) -> list[str]:
    """A host starts, and defines what is wanted of it; the names of that."""
    marks = {name: ticking.definition().mark for name in names or ("it",)}
    wanted = ticking.declare(room, host, marks, digest).wanted
    for name in wanted:
        assert ticking.define(room, name, "code", ticking.definition()) == "ok"
    return wanted


def test_what_is_not_there_or_was_changed_in_the_code_is_wanted_once(room: Room) -> None:
    assert begin(room) == ["it"]
    assert begin(room, "second") == []
    assert ticking.declare(room, "third", {"it": "changed"}, "two").wanted == ["it"]
    assert ticking.declare(room, "old", None).wanted == []


def test_the_set_is_named_once_and_again_when_it_was_forgotten(room: Room) -> None:
    begin(room)
    assert not ticking.declare(room, "old", None).must_name
    room.redis.delete(room.key("DECLARED", "one"))
    assert ticking.declare(room, "old", None).must_name
    assert not ticking.find(room).is_orphaned, "nothing is decided before it is named"
    assert 0 < room.redis.pttl(room.key("DECLARED", "one")) <= ticking.HOLD_MS or begin(room) == []


def test_what_nobody_declares_any_more_rests_and_is_retired(room: Room) -> None:
    begin(room)
    begin(room, "new", "two", "other")
    ticking.declare(room, "old", None, "")
    ticking.declare(room, "new", None, "two")
    assert ticking.find(room).is_orphaned
    assert not ticking.find(room, "other").is_orphaned
    assert room.redis.zscore(room.key("FIRES"), "it") is None
    room.pass_time(ticking.RETIRE_MS // 2)
    assert ticking.declare(room, "new", None, "two").retired == []
    room.pass_time(ticking.RETIRE_MS // 2 + 1)
    begin(room, "new", "two", "other")
    assert not room.redis.sismember(room.key("SCHEDULES"), "it")
    assert not room.redis.exists(room.key("SCHEDULE", "it"))


def test_releases_that_live_side_by_side_declare_together(room: Room) -> None:
    begin(room, "old", "one", "it", "both")
    begin(room, "new", "two", "both", "fresh")
    for _ in range(5):
        room.pass_time(30_000)
        for host, digest in (("old", "one"), ("new", "two")):
            assert ticking.declare(room, host, None, digest).retired == []
    assert not any(ticking.find(room, name).is_orphaned for name in ("it", "both", "fresh"))


def test_a_host_that_died_declares_for_a_while_and_comes_back_to_what_was(room: Room) -> None:
    begin(room)
    begin(room, "new", "two", "other")
    ticking.change(room, "it", "jitter", 7)
    room.pass_time(ticking.HOLD_MS + 1)
    begin(room, "new", "two", "other")
    assert ticking.find(room).is_orphaned
    before = ticking.find(room).next_ms
    assert begin(room, "old again") == []
    after = ticking.find(room)
    assert (after.is_orphaned, after.next_ms, after.definition.jitter) == (False, before, 7)
    assert room.redis.zscore(room.key("FIRES"), "it") == before


def test_after_an_outage_of_all_the_first_host_waits_for_the_others(room: Room) -> None:
    begin(room)
    ticking.declare(room, "old", None, "")
    room.pass_time(86_400_000)
    begin(room, "new", "two", "other")
    assert ticking.find(room).is_orphaned, "it may be that of a host that starts just now"
    begin(room, "old again")
    assert not ticking.find(room).is_orphaned


def test_a_host_without_schedules_retires_what_is_left_and_leaves_nothing_where_there_are_none(room: Room) -> None:
    assert ticking.declare(room, "host", None, "none").coded == 0
    assert room.all_keys() == []
    begin(room)
    ticking.declare(room, "old", None, "")
    for _ in range(3):
        assert ticking.declare(room, "new", None, "none").coded == 1
        room.pass_time(25_000)
    assert ticking.declare(room, "new", None, "none").retired == ["it"]
    assert ticking.declare(room, "new", None, "none").coded == 0


def test_what_was_created_at_run_time_is_never_retired(room: Room) -> None:
    ticking.create(room)
    begin(room, "host", "one", "other")
    for _ in range(10):
        room.pass_time(30_000)
        ticking.declare(room, "host", None, "none")
    assert not ticking.find(room).is_orphaned


def test_a_clock_that_was_set_back_keeps_no_dead_host_declaring(room: Room) -> None:
    begin(room)
    room.pass_time(-3_600_000)
    begin(room, "new", "two", "other")
    room.pass_time(ticking.HOLD_MS + 1)
    begin(room, "new", "two", "other")
    assert ticking.find(room).is_orphaned
