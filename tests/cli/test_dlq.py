"""`distq dlq`: which dead letters are meant, what is done with them, and that nothing is meant by accident."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgpack
import pytest

from tests.cli.conftest import Shell
from tests.support.room import Room, verdict


def bury(room: Room, number: int, type: str = "job", error: str = "ValueError", message: str = "broken") -> list[str]:
    """Dead letters, the oldest first; each died at a time of its own."""
    worker = room.register([type])
    ids = [room.enqueue(type) for _ in range(number)]
    blob = msgpack.packb(
        {"outcome": "raised", "type": error, "message": message, "traceback": "", "attempt": 1, "at": room.now_ms()}
    )
    for start in range(0, number, 100):
        group = ids[start : start + 100]
        room.step(worker, 100)
        room.step(worker, 0, [verdict(id, "bury", type=type, blob=blob) for id in group])
    now = room.now_ms()
    for age, id in enumerate(reversed(ids)):
        room.redis.zadd(room.key("DEAD_LETTERS"), {id: now - age})
    return ids


def make_old(room: Room, ids: Sequence[str], hours: int) -> None:
    for id in ids:
        room.redis.zincrby(room.key("DEAD_LETTERS"), -hours * 3_600_000, id)


@pytest.fixture
def dead(shop: Room, mail: Room) -> Iterator[dict[str, list[str]]]:
    """Three kinds in two queues."""
    found = {
        "old": bury(shop, 2, "report", "TimeoutError", "took too long"),
        "new": bury(shop, 3, "webhook", "app.HTTPError", "503 from partner"),
        "mail": bury(mail, 1, "email", "SMTPError", "no such user"),
    }
    make_old(shop, found["new"], 1)
    make_old(shop, found["old"], 48)
    yield found
    for room in (shop, mail):
        assert room.redis.zcard(room.key("DEAD_LETTERS")) == room.redis.hlen(room.key("DEAD"))


def left(distq: Shell) -> set[str]:
    return {letter["id"] for letter in distq("dlq", "list", "--json").json}


def test_list_shows_all_queues_the_newest_first(distq: Shell, dead: dict[str, list[str]]) -> None:
    head, *rows, end = distq("dlq", "list").out.splitlines()
    assert head.split() == ["id", "type", "attempts", "died", "error"]
    assert [row.split()[0] for row in rows] == [*dead["mail"], *reversed(dead["new"]), *reversed(dead["old"])]
    assert rows[1].split("  ", 1)[1].split(maxsplit=4)[0] == "webhook"
    assert rows[1].endswith("app.HTTPError: 503 from partner")
    assert "2d ago" in rows[-1]
    assert end == "6 dead tasks"
    letter = distq("dlq", "list", "--json").json[0]
    assert letter["id"] == dead["mail"][0]
    assert {key: type(value) for key, value in letter.items()} == {
        "id": str, "queue": str, "type": str, "error": str, "message": str, "attempts": int, "died_at_ms": int,
        "enqueued_at_ms": int, "frame": str,
    }  # fmt: skip


def test_list_selects_and_limits(distq: Shell, dead: dict[str, list[str]]) -> None:
    def ids(*args: str) -> list[str]:
        return [letter["id"] for letter in distq("dlq", "list", "--json", *args).json]

    assert ids("--type", "report") == dead["old"][::-1]
    assert ids("--error", "HTTPERROR") == dead["new"][::-1]
    assert ids("--error", "too long") == dead["old"][::-1]
    assert ids("--older-than", "1d") == dead["old"][::-1]
    assert ids("--older-than", "3d") == []
    assert ids("--type", "report", "--error", "503") == []
    assert ids("--limit", "2") == [dead["mail"][0], dead["new"][2]]
    assert distq("dlq", "list", "--limit", "2").out.splitlines()[-1] == "6 dead tasks, 2 shown: --limit"
    more = distq("dlq", "list", "--limit", "1", "--type", "webhook").out.splitlines()
    assert more[-1] == "1 shown, there are more: --limit"
    assert distq("dlq", "list", "--type", "nobody").out == "no dead tasks match\n"


def test_by_id(distq: Shell, shop: Room, dead: dict[str, list[str]]) -> None:
    id, mail_id = dead["new"][0], dead["mail"][0]
    dry = distq("dlq", "replay", id, mail_id, "--dry-run").out
    assert re.search(rf"^{re.escape(id)} +webhook +1 .* app\.HTTPError: 503 from partner$", dry, re.M)
    assert dry.endswith("would replay 2 tasks\n")
    assert shop.where(id) == "dead"
    assert distq("dlq", "replay", id, mail_id).out == "replayed 2 tasks\n"
    assert shop.where(id) == "queued"
    assert id not in left(distq)
    again = distq("dlq", "replay", id, "nobody", code=1)
    assert again.out == "replayed 0 tasks\n"
    assert again.err == f"error: not among the dead: {', '.join(sorted([id, 'nobody']))}\n"


def test_they_may_run_again_one_after_the_other(distq: Shell, shop: Room, dead: dict[str, list[str]]) -> None:
    number = distq("dlq", "replay", "--all", "--rate", "10/s", "--json").json["replayed"]
    assert number == sum(map(len, dead.values()))
    due = [ms for _, ms in shop.redis.zrange(shop.key("DELAYED"), 0, -1, withscores=True)]
    assert {round(after - before) for before, after in pairwise(due)} == {100}
    distq("dlq", "replay", "--all", "--rate", "fast", code=2)


def test_some_of_the_given_ids_are_done_although_others_are_missing(distq: Shell, dead: dict[str, list[str]]) -> None:
    done = distq("dlq", "purge", dead["old"][0], "nobody", "--yes", "--json", code=1)
    assert done.json == {"deleted": 1}
    assert done.err == "error: not among the dead: nobody\n"
    assert len(left(distq)) == 5


@pytest.mark.parametrize(
    ("args", "kinds"),
    [
        (["--type", "report"], ["old"]),
        (["--error", "503"], ["new"]),
        (["--older-than", "24h"], ["old"]),
        (["--all"], ["old", "new", "mail"]),
    ],
    ids=["type", "error", "age", "all"],
)
def test_a_selection_means_the_same_for_a_dry_run_and_for_real(
    distq: Shell, dead: dict[str, list[str]], args: list[str], kinds: list[str]
) -> None:
    meant = {id for kind in kinds for id in dead[kind]}
    dry = distq("dlq", "replay", *args, "--dry-run", "--json").json
    assert dry["would_replay"] == len(meant)
    assert set(dry["ids"]) == meant
    assert distq("dlq", "purge", *args, "--dry-run").out.splitlines()[-1].startswith(f"would delete {len(meant)} ")
    assert distq("dlq", "replay", *args, "--json").json == {"replayed": len(meant)}
    assert left(distq) == {id for ids in dead.values() for id in ids} - meant


def test_nothing_is_meant_by_accident(distq: Shell, dead: dict[str, list[str]]) -> None:
    for verb in ("replay", "purge"):
        none = distq("dlq", verb, code=2)
        assert none.err == "error: which dead tasks? give ids, --type, --error or --older-than, or --all\n"
        for option in ("--type", "--error", "--older-than"):
            assert distq("dlq", verb, option, "", "--all", code=2).err.startswith(f"error: {option} ")
        assert "--all means all" in distq("dlq", verb, "--all", "--type", "report", code=2).err
    assert len(left(distq)) == 6


def test_purge_asks_first(distq: Shell, dead: dict[str, list[str]]) -> None:
    no = distq("dlq", "purge", "--all", stdin="n\n", code=1)
    assert "Delete 6 dead tasks for good? [y/N]" in no.err
    assert distq("dlq", "purge", "--all", code=1).out == ""
    assert distq("dlq", "purge", "--all", "--json", code=2).err.endswith("add --yes\n")
    assert len(left(distq)) == 6
    assert distq("dlq", "purge", "--all", stdin="y\n").out == "deleted 6 tasks\n"
    assert distq("dlq", "purge", "--all").out == "deleted 0 tasks\n", "nothing to ask about"


def test_more_than_a_page(distq: Shell, shop: Room) -> None:
    ids = bury(shop, 500)
    listed = distq("dlq", "list", "--limit", "1000", "--json").json
    assert [letter["id"] for letter in listed] == ids[::-1]
    assert distq("dlq", "list").out.splitlines()[-1] == "500 dead tasks, 50 shown: --limit"
    dry = distq("dlq", "replay", "--all", "--dry-run").out.splitlines()
    assert dry[-2:] == ["… and 480 more", "would replay 500 tasks"]
    shop.enqueue("other", id="someone-else")
    assert distq("dlq", "replay", "--type", "job", "--json").json == {"replayed": 500}
    assert shop.redis.hlen(shop.key("DEAD")) == 0
    assert shop.redis.hlen(shop.key("TASKS")) == 501


def test_purge_of_more_than_a_page(distq: Shell, shop: Room) -> None:
    bury(shop, 450)
    assert distq("dlq", "purge", "--all", "--yes").out == "deleted 450 tasks\n"
    assert shop.redis.zcard(shop.key("DEAD_LETTERS")) == 0


def test_a_few_of_many_are_found_without_reading_all(distq: Shell, shop: Room) -> None:
    ids = bury(shop, 1000)
    shop.redis.config_resetstat()
    distq("dlq", "list", "--limit", "1")
    distq("dlq", "replay", ids[0])
    distq("dlq", "show", ids[1])
    calls = {name: facts["calls"] for name, facts in shop.redis.info("commandstats").items()}
    assert calls["cmdstat_zrevrange"] == 1, "one page for the list, none for an id"
    assert calls["cmdstat_lrange"] < 250


def test_a_dead_message_that_cannot_be_read_is_shown_and_can_be_deleted(distq: Shell, shop: Room) -> None:
    (id,) = bury(shop, 1)
    shop.redis.hset(shop.key("DEAD"), id, b"nonsense")
    assert "(corrupt)" in distq("dlq", "list").out
    assert "corrupt" in distq("dlq", "show", id).out
    assert distq("dlq", "purge", id, "--dry-run", "--json").json == {"would_delete": 1, "ids": [id]}
    assert distq("dlq", "purge", id, "--yes").out == "deleted 1 task\n"
