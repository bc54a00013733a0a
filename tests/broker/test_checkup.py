"""What `distq doctor` says of a queue: each check fires where it should, and is silent where not."""

from __future__ import annotations

import json

import pytest

from distq.broker.broker import Broker
from distq.broker.checkup import Declared, check_queue
from distq.broker.controls import pausing
from distq.broker.health import Finding
from tests.support import states, ticking
from tests.support.room import Room
from tests.support.switch import override

MINE = Declared(["default"], ["job", "mail"], {})


def look(room: Room, declared: Declared | None = MINE) -> dict[str, Finding]:
    """What is not as it should be, by its check."""
    found = check_queue(Broker(room.app, room.url, 5.0), room.queue, declared)
    assert all(finding.hint for finding in found if finding.level in ("warning", "problem")), "what mends it is told"
    return {finding.check: finding for finding in found if finding.level != "ok"}


def test_a_queue_that_works_has_nothing_to_complain_of(room: Room) -> None:
    room.register(["job", "mail"])
    room.enqueue()
    room.enqueue(delay=3_600_000)
    room.tick()
    found = check_queue(Broker(room.app, room.url, 5.0), room.queue, MINE)
    assert {one.check: one.level for one in found} == dict.fromkeys(["workers", "keeper", "ledger", "leaks"], "ok")


def test_tasks_and_no_worker(room: Room) -> None:
    assert look(room)["workers"].level == "note"
    room.enqueue()
    found = look(room)["workers"]
    assert (found.level, found.text) == ("problem", "1 task and no worker that takes them")
    assert found.hint.endswith("-Q default")


def test_workers_of_hosts_that_are_gone(room: Room) -> None:
    _, worker = states.held(room)
    room.redis.zadd(room.key("LEASES"), {worker.name: room.now_ms() - 1000})
    found = look(room)
    assert found["workers"].level == "problem"
    assert (found["leases"].level, found["leases"].text) == ("warning", "1 worker of hosts that are gone, with 1 task")
    room.register()
    assert look(room)["leases"].level == "note"


@pytest.mark.parametrize(
    ("declared", "type", "hint"),
    [
        (None, "other", "start a host with a release that declares it"),
        (MINE, "mail", "start a host with this release"),
        (MINE._replace(needs={"mail": "gpu"}), "mail", "it needs gpu: start a host with --tag gpu"),
        (MINE, "mail@2", "other versions of mail"),
        (MINE, "jobs", "did you mean `job`"),
    ],
)
def test_a_type_that_no_worker_knows(room: Room, declared: Declared | None, type: str, hint: str) -> None:
    room.register(["job"])
    room.cancel(room.enqueue("ended"))
    room.enqueue(type)
    found = look(room, declared)
    assert list(found) == ["types"]
    assert found["types"].text == f"1 task of type {type}: no worker that runs knows it"
    assert hint in found["types"].hint


def test_nobody_keeps_the_time_or_the_keeper_does_not_answer(room: Room) -> None:
    room.register()
    room.enqueue(delay=1)
    assert "nobody keeps the time" in look(room)["keeper"].text
    room.tick()
    room.enqueue(delay=3_600_000)
    assert "keeper" not in look(room)
    before = room.redis.hget(room.key("META"), "armed")
    room.redis.hset(room.key("META"), "armed", str(room.now_ms() - 60_000))
    assert "60 s late" in look(room)["keeper"].text
    room.redis.hset(room.key("META"), "armed", before)


def test_dead_letters(room: Room) -> None:
    id = states.dead(room)
    found = look(room)["dead"]
    assert (found.level, found.text) == ("warning", "1 dead task, 1 of the last hour")
    room.redis.zadd(room.key("DEAD_LETTERS"), {id: room.now_ms() - 7_200_000})
    found = look(room)["dead"]
    assert (found.level, found.text) == ("note", "1 dead task, 0 of the last hour")


def test_a_ledger_out_of_balance_and_tasks_in_no_list(room: Room) -> None:
    room.register()
    id = room.enqueue()
    raw = room.redis.hget(room.key("TASKS"), id)
    room.redis.hdel(room.key("TASKS"), id)
    found = look(room)["ledger"]
    assert (found.level, found.text) == ("problem", "1 task missing by the ledger, 1 task too many in lists")
    room.redis.hset(room.key("TASKS"), id, raw)
    assert "ledger" not in look(room)


def test_limits_that_differ(room: Room) -> None:
    room.register(["job", "mail"], limits={"mail": "1000 1"})
    assert "limits" not in look(room, Declared(["default"], ["job", "mail"], {"mail": "1000 1"}))
    for limits in ({}, {"mail": "2000 1"}):
        found = look(room, Declared(["default"], ["job", "mail"], limits))
        assert found["limits"].text == "type mail: the workers' rate is another than the application's"
    assert "limits" not in look(room, None)


def test_limits_that_people_have_set(room: Room) -> None:
    room.register(["job"], limits={"job": "1000 1"})
    override(room, "job", {"rate": "2000 1"})
    found = look(room, Declared(["default"], ["job"], {"job": "1000 1"}))
    assert found["overrides"].text == "ann has set limits of type job, which win over the declared ones"
    assert "limits" not in found, "the workers declare what the application does"


def test_a_queue_that_the_application_does_not_declare(room: Room) -> None:
    room.register()
    assert "declared" not in look(room, Declared(["mail"], ["job"], {}))
    room.enqueue()
    found = look(room, Declared(["mail"], ["job"], {}))
    assert found["declared"].hint == 'app.queue("default")'


def test_workers_of_different_releases(room: Room) -> None:
    one, two = room.register(["job"]), room.register(["job"])
    assert look(room) == {}
    for worker, version in ((one, "0.1.0"), (two, "0.2.0")):
        room.redis.hset(room.key("WORKER", worker.name), "info", json.dumps({"distq": version}))
    room.register(["job", "mail"])
    found = look(room)
    assert found["versions"].text == "workers of different releases: 1 with distq 0.1.0, 1 with distq 0.2.0"
    assert "2 different sets of types" in found["releases"].text
    room.redis.hset(room.key("WORKER", one.name), "info", "no JSON")
    assert "versions" not in look(room)


def test_schedules_that_nobody_fires_or_declares(room: Room) -> None:
    room.register(["job", "mail"])
    ticking.create(room, "mine")
    room.tick()
    assert "schedules" not in look(room)
    ticking.declare(room, "old", {"it": ""})
    ticking.define(room, "it", "code", ticking.definition())
    ticking.declare(room, "old", None, "")
    ticking.declare(room, "new", None, "none")
    found = look(room)["schedules"]
    assert (found.level, found.text.split(":")[0]) == ("note", "1 of 2 schedules rest")
    ticking.come(room, "mine")
    room.pass_time(70_000)
    found = look(room)["schedules"]
    assert (found.level, found.text) == ("problem", "1 of 2 schedules should have ticked more than a minute ago")
    assert found.hint.startswith("distq run")


def test_what_is_paused(room: Room) -> None:
    room.register()
    for what in (("queue", "", ""), ("type", "job", ""), ("key", "mail", "it is")):
        room.run(pausing(room.prefix, *what, "ann", "no provider"))
    found = [one for one in check_queue(Broker(room.app, room.url, 5.0), room.queue, MINE) if one.check == "paused"]
    assert [(one.level, one.text, one.hint) for one in found] == [
        ("note", "ann has paused this queue: no provider", "distq resume --queue default"),
        ("note", "ann has paused type job", "distq resume --type job"),
        ("note", "ann has paused key it is of type mail", "distq resume --type mail --key 'it is'"),
    ]


def test_keys_that_nobody_ends(room: Room) -> None:
    room.register()
    room.redis.set(room.key("ANSWER", "old"), "mine")
    room.redis.rpush(room.key("ATTEMPTS", "old"), "mine")
    room.redis.set(f"{room.prefix}notes", "mine")
    room.redis.expire(room.key("ANSWER", "old"), 100)
    found = check_queue(Broker(room.app, room.url, 5.0), room.queue, MINE)
    said = {finding.text.split(" (")[0]: finding.hint for finding in found if finding.check == "leaks"}
    assert said == {
        "1 key has a wrong type": f"redis-cli UNLINK '{room.key('ANSWER', 'old')}', if nobody needs it",
        "1 key has no TTL, and should": "distq audit --repair",
        "1 key is none of distq's": f"redis-cli UNLINK '{room.prefix}notes', if nobody needs it",
    }
    assert all(finding.level == "warning" for finding in found if finding.check == "leaks")
    room.redis.delete(room.key("ANSWER", "old"), room.key("ATTEMPTS", "old"), f"{room.prefix}notes")
    assert "leaks" not in look(room)


def test_a_rate_that_is_too_low_for_what_waits(room: Room) -> None:
    room.register(["mail"], limits={"mail": "3600000000 1"})
    for _ in range(24):
        room.enqueue("mail")
    assert "rates" not in look(room)
    room.enqueue("mail")
    found = look(room)["rates"]
    assert (found.level, found.text) == ("warning", "25 of type mail wait for 1/h: the last one starts in 1 d 1 h")
    assert "distq limits set mail --rate" in found.hint


def test_limits_of_a_key_that_are_above_those_of_all(room: Room) -> None:
    room.register(["mail"], limits={"mail": "1000000 1"}, flows={"mail": {"r": "100000 1", "m": 2, "mk": 5}})
    texts = [one.text for one in check_queue(Broker(room.app, room.url, 5.0), room.queue, MINE) if one.check == "rates"]
    assert texts == [
        "type mail: 10/s per key can never be met, as all keys together get 1/s",
        "type mail: 5 at once per key can never be met, as all keys together get 2",
    ]


def test_calls_that_are_refused(room: Room) -> None:
    assert "room" not in look(room)
    for id in ("a", "b"):
        room.send(id, bounds=[["", 1, "reject"]])
    found = look(room)["room"]
    assert (found.level, found.text.split(": ")[1]) == ("warning", "the queue")
