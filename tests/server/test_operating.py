"""Looking after queues over HTTP: search, dead letters, workers, numbers, events."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.server.conftest import ADMIN, OPERATE, READ, Serve, Work
from tests.support.eventually import eventually
from tests.support.proxy import Proxy, Refuse
from tests.support.room import Room
from tests.support.web import Web

TASKS = "/api/v1/tasks"
DEAD = "/api/v1/dead"


def all_of(web: Web, path: str, what: str, limit: int = 7) -> list[dict[str, Any]]:
    """All pages together."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = web.get(f"{path}{'&' if '?' in path else '?'}limit={limit}{cursor}")
        assert page.status == 200, page
        assert len(page.json[what]) <= limit
        found += page.json[what]
        if page.json["next"] is None:
            return found
        cursor = f"&cursor={page.json['next']}"


# -- all that a filter means -------------------------------------------------------------------------------------------


def test_all_that_a_filter_means_is_changed(web: Web, room: Room) -> None:
    ids = web.post(f"{TASKS}/bulk", {"type": "add", "calls": [[n] for n in range(300)]}).json["ids"]
    other = web.post(TASKS, {"type": "echo"}).json["id"]
    said = web.post(f"{TASKS}/cancel", {"filter": "type:add", "dry_run": True}).json
    assert (said["number"], said["dry_run"], said["left"], said["next"]) == (300, True, {}, None)
    assert {example["id"] for example in said["examples"]} < set(ids)
    later = {"filter": "type:add", "delay": "1h", "priority": "low"}
    assert web.as_(OPERATE).post(f"{TASKS}/reschedule", later).json["number"] == 300
    assert {room.where(id) for id in ids} == {"scheduled"}
    there = web.post(f"{TASKS}/reschedule", {"filter": "type:echo", "queue": "mail"})
    assert (there.json["number"], web.get(f"{TASKS}/{other}").json["queue"]) == (1, "mail")
    assert web.post(f"{TASKS}/{other}/reschedule", {"queue": "default"}).status == 200
    assert web.as_(OPERATE).post(f"{TASKS}/cancel", {"filter": "all"}).status == 403
    assert web.post(f"{TASKS}/cancel", {"filter": "priority:low"}).json["number"] == 300
    assert (room.where(ids[0]), room.where(other)) == ("cancelled", "queued")
    for body, field in (
        ({}, "filter"), ({"filter": ""}, ""), ({"filter": "add"}, ""), ({"filter": "queue:nope"}, "queue"),
        ({"filter": "all", "cursor": "x"}, "cursor"), ({"filter": "all", "running": 1}, "running"),
    ):  # fmt: skip
        refused = web.post(f"{TASKS}/cancel", body)
        assert refused.status == 400
        assert field in "".join(refused.fields)
    assert web.post(f"{TASKS}/reschedule", {"filter": "all"}).status == 400


# -- searching ---------------------------------------------------------------------------------------------------------


def test_tasks_are_found_by_state_type_and_queue(web: Web, work: Work, tmp_path: Path) -> None:
    ids = web.post(f"{TASKS}/bulk", {"type": "add", "calls": [[n] for n in range(30)], "priority": "low"}).json["ids"]
    later = web.post(TASKS, {"type": "echo", "delay": "1h"}).json["id"]
    mail = web.post(TASKS, {"type": "fail", "args": ["well"], "priority": "high"}).json["id"]
    other = web.post(TASKS, {"type": "echo", "queue": "mail"}).json["id"]
    found = all_of(web, TASKS, "tasks")
    assert [task["id"] for task in found if task["queue"] == "default"] == [*ids, later]
    assert {task["id"] for task in found if task["queue"] == "mail"} == {mail, other}
    assert [task["id"] for task in all_of(web, f"{TASKS}?state=queued&type=add", "tasks", 4)] == ids
    assert [task["id"] for task in all_of(web, f"{TASKS}?type=echo", "tasks", 1)] == [later, other]
    scheduled = all_of(web, f"{TASKS}?state=scheduled&queue=default", "tasks")
    assert [(task["id"], task["state"], task["type"]) for task in scheduled] == [(later, "scheduled", "echo")]
    assert scheduled[0]["due_at_ms"] > time.time() * 1000
    assert found[0]["priority"] == "low"
    assert web.get(f"{TASKS}?queue=nope").fields == ["queue"]
    assert web.get(f"{TASKS}?state=lost").fields == ["state"]
    for limit in ("0", "201", "-1", "x", "1e999", "9" * 400):
        assert web.get(f"{TASKS}?limit={limit}").fields == ["limit"]
    for cursor in ("x", "e30", "WzFd", "W10", "%00", "WyJkZWZhdWx0IiwxLDEsIlFVRVVFIiwiZGVmYXVsdCIsLTFd"):
        assert web.get(f"{TASKS}?cursor={cursor}").fields == ["cursor"]
    web.post("/api/v1/queues/default/purge", {"place": "low"})
    work()
    gate = tmp_path / "gate"
    held = web.task("hold", str(gate))
    running = eventually(lambda: web.get(f"{TASKS}?state=running&type=hold").json["tasks"], "it runs")
    assert [(task["id"], task["type"]) for task in running] == [(held, "hold")]
    assert running[0]["worker"]
    gate.touch()
    eventually(
        lambda: {mail, other, held} == {task["id"] for task in all_of(web, f"{TASKS}?state=completed", "tasks")},
        "all are completed",
    )


def test_a_page_reads_a_bounded_number_of_entries(web: Web, room: Room) -> None:
    ids = web.post(f"{TASKS}/bulk", {"type": "add", "calls": [[n] for n in range(4500)]}).json["ids"]
    last = web.task("echo")
    pages = [web.get(f"{TASKS}?type=echo").json]
    while pages[-1]["next"] is not None:
        pages.append(web.get(f"{TASKS}?type=echo&cursor={pages[-1]['next']}").json)
    assert [task["id"] for page in pages for task in page["tasks"]] == [last]
    assert len(pages) >= 3
    assert len(all_of(web, f"{TASKS}?state=queued", "tasks", 200)) == len(ids) + 1


def test_what_nobody_can_read_is_found_all_the_same(web: Web, room: Room) -> None:
    room.redis.rpush(room.key("QUEUE", "default"), "raw", b"\xff\xfe <x>")
    room.redis.hset(room.key("TASKS"), mapping={"raw": b"\x80", b"\xff\xfe <x>": b""})
    found = web.get(f"{TASKS}?queue=default").json["tasks"]
    assert [task["id"] for task in found] == ["raw", "\ufffd\ufffd"]
    room.redis.flushall()


# -- dead letters ------------------------------------------------------------------------------------------------------


def kill(web: Web, work: Work, number: int = 6) -> list[str]:
    """Dead tasks: two in three with a ValueError, the others with a LookupError."""
    ids = [web.task("fail", f"no {n}", "LookupError" if n % 3 == 0 else "ValueError") for n in range(number)]
    host = work()
    eventually(lambda: web.get("/api/v1/queues/mail").json["dead"] == number, "all are dead")
    host.close()
    return ids


def test_dead_letters_are_listed_and_grouped_by_what_they_died_of(web: Web, work: Work) -> None:
    ids = kill(web, work)
    assert {letter["id"] for letter in all_of(web, DEAD, "dead", 2)} == set(ids)
    assert len(all_of(web, f"{DEAD}?error=lookup&queue=mail", "dead", 1)) == 2
    assert all_of(web, f"{DEAD}?type=add", "dead") == all_of(web, f"{DEAD}?older_than=1h", "dead") == []
    groups = web.get(f"{DEAD}/groups").json
    assert [(group["type"], group["error"], group["number"]) for group in groups["groups"]] == [
        ("fail", "ValueError", 4),
        ("fail", "LookupError", 2),
    ]
    assert groups["complete"]
    assert web.get(f"{DEAD}?older_than=soon").fields == ["older_than"]
    assert web.get(f"{DEAD}?cursor=WzFd").fields == ["cursor"]


def test_dead_letters_are_replayed_by_what_they_have_in_common(web: Web, work: Work, room: Room) -> None:
    ids = kill(web, work)
    mail = Room(room.url, queue="mail")
    shop = web.as_(OPERATE)
    assert shop.post(f"{DEAD}/replay", {"error": "Lookup", "dry_run": True}).json["number"] == 2
    assert shop.post(f"{DEAD}/replay", {"error": "Lookup"}).json == {"number": 2, "dry_run": False, "complete": True}
    assert mail.redis.llen(mail.key("QUEUE", "default")) == 2
    assert shop.post(f"{DEAD}/replay", {"ids": [ids[1]]}).json["number"] == 1
    assert shop.post(f"{DEAD}/replay", {"type": "fail", "rate": "2/s"}).json["number"] == 3
    due = [ms for _, ms in mail.redis.zrange(mail.key("DELAYED"), 0, -1, withscores=True)]
    assert [round(ms - due[0]) for ms in due] == [0, 500, 1000]
    for wrong in ({}, {"all": True, "type": "fail"}, {"dry_run": True}, {"all": False}):
        assert shop.post(f"{DEAD}/replay", wrong).fields == ["all"]
    assert shop.post(f"{DEAD}/replay", {"all": True, "rate": "fast"}).fields == ["rate"]
    assert shop.post(f"{DEAD}/replay", {"ids": ["a b"]}).fields == ["id"]
    mail.redis.flushall()
    mail.close()


def test_dead_letters_are_deleted_by_an_admin(web: Web, work: Work) -> None:
    ids = kill(web, work)
    assert web.as_(OPERATE).post(f"{DEAD}/purge", {"all": True}).status == 403
    assert web.post(f"{DEAD}/purge", {"all": True, "dry_run": True}).json["number"] == 6
    assert web.post(f"{DEAD}/purge", {"ids": ids[:2]}).json["number"] == 2
    assert web.post(f"{DEAD}/purge", {"queue": "mail", "error": "no 5"}).json["number"] == 1
    assert web.post(f"{DEAD}/purge", {"all": True}).json["number"] == 3
    assert web.get(DEAD).json == {"dead": [], "next": None}


# -- workers -----------------------------------------------------------------------------------------------------------


def one_that_waits(web: Web) -> str:
    """A new task, if nobody takes it; empty: it has been taken."""
    id = web.task("add", 1)
    return id if web.get(f"/api/v1/results/{id}?wait=0.2").status == 202 else ""


def test_hosts_are_shown_with_what_they_hold_and_told_what_to_do(web: Web, work: Work, tmp_path: Path) -> None:
    host, gate = work(2), tmp_path / "gate"
    id = web.task("hold", str(gate))
    eventually(lambda: id in web.get("/api/v1/workers").text, "it is held")
    found = web.get("/api/v1/workers").json["hosts"]
    assert len(found) == 1
    assert len(found[0]["workers"]) == 2
    assert [held for worker in found[0]["workers"] for held in worker["holds"]] == [{"queue": "default", "id": id}]
    place = f"/api/v1/workers/{found[0]['host']}"
    assert web.as_(OPERATE).post(f"{place}/stop").status == 403
    assert web.post(f"{place}/explode").fields == ["order"]
    assert web.post("/api/v1/workers/nobody/stop").status == 404
    assert web.post(f"{place}/stacks").json["order"] == "stacks"
    shown = eventually(lambda: web.get(f"{place}/stacks").json["text"], "it has said what it is at")
    assert f"runs {id}" in shown
    assert "in hold" in shown
    assert shown.count("worker ") == 2
    gate.touch()
    assert web.post(f"{place}/quiet").json == {"host": found[0]["host"], "order": "quiet"}
    host.await_log("SIGTSTP: finishing what runs")
    waiting = eventually(lambda: one_that_waits(web), "its processes have heard it")
    quiet = {"host": found[0]["host"], "about": {}, "workers": []}
    eventually(lambda: web.get("/api/v1/workers").json["hosts"] == [quiet], "it has no processes, and can be resumed")
    web.post(f"{place}/resume")
    assert web.get(f"/api/v1/results/{waiting}?wait=10").json["result"] == 1
    before = host.children
    web.post(f"{place}/restart")
    eventually(lambda: len(host.children) == 2 and not set(before) & set(host.children), "its processes are new")
    web.post(f"{place}/stop")
    assert host.wait() == 0


def test_what_people_do_is_noted_with_who_has_done_it(web: Web) -> None:
    web.task("add", 1)
    web.as_(OPERATE).post("/api/v1/pauses", {"queue": "mail", "reason": "x" * 500})
    web.post("/api/v1/queues/mail/purge", {"dry_run": True})
    web.as_(READ).post("/api/v1/queues/mail/purge")
    web.ask("DELETE", "/api/v1/tasks/nobody")
    web.post("/api/v1/pauses/resume", {"queue": "mail"})
    eventually(lambda: len(web.get("/api/v1/actions").json["actions"]) == 2, "both are noted")
    noted = web.get("/api/v1/actions").json["actions"]
    assert [(one["who"], one["what"]) for one in noted] == [("boss", "POST pauses/resume"), ("shop", "POST pauses")]
    assert noted[0]["said"] == '{"queue":"mail"}'
    assert len(noted[1]["said"]) == 500
    assert web.as_(OPERATE).get("/api/v1/actions").status == 403


# -- numbers -----------------------------------------------------------------------------------------------------------


def next_event(wire: Any) -> tuple[str, dict[str, Any]]:
    """Name and data of the next server-sent event."""
    found: dict[str, str] = {}
    for line in wire:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name in ("event", "data"):
            found[name] = value
        elif not line.strip() and "data" in found:
            return found["event"], json.loads(found["data"])
    raise AssertionError("the stream has ended")


def listen(web: Web, stack: ExitStack, key: str = ADMIN) -> Any:
    wire = stack.enter_context(web.wire())
    wire.sendall(b"GET /api/v1/events HTTP/1.0\r\nHost: localhost\r\nX-API-Key: %b\r\n\r\n" % key.encode())
    return stack.enter_context(wire.makefile("rb"))


def test_numbers_are_told_and_pushed(web: Web, work: Work) -> None:
    for _ in range(3):
        web.task("add", 1)
    demand = web.get("/scale?slots=4&within=10s").json
    told = {name: demand[name] for name in ("wanted_workers", "slots_per_worker", "within_s", "backlog", "running")}
    assert told == {"wanted_workers": 1, "slots_per_worker": 4, "within_s": 10, "backlog": 3, "running": 0}
    work()
    eventually(lambda: web.get("/api/v1/stats").json["totals"]["completed"] == 3, "all are completed")
    told = web.get("/api/v1/stats").json
    assert told["types"] == {"add": {"enqueued": 3, "completed": 3}}
    assert told["difference"] == 0
    assert {queue["queue"] for queue in told["queues"]} == {"default", "mail"}
    page = web.get("/metrics").text
    assert 'distributedq_tasks_total{queue="default",state="completed",type="add"} 3\n' in page
    assert 'distributedq_waiting_tasks{queue="mail",priority="default"} 0\n' in page
    assert web.get("/scale?within=soon").status == 400
    with ExitStack() as stack:
        streams = [listen(web, stack) for _ in range(3)]
        first = [next_event(stream) for stream in streams]
        assert {name for name, _ in first} == {"stats"}
        web.task("add", 2)
        for stream in streams:
            while next_event(stream)[1]["totals"]["enqueued"] < 4:
                pass


def test_many_listeners_cost_the_broker_one_reader(web: Web, room: Room) -> None:
    with ExitStack() as stack:
        streams = [listen(web, stack) for _ in range(200)]
        for stream in streams:
            next_event(stream)
        before = room.redis.info("commandstats")["cmdstat_evalsha"]["calls"]
        began = time.monotonic()
        for _ in range(2):
            for stream in streams:
                next_event(stream)
        calls = room.redis.info("commandstats")["cmdstat_evalsha"]["calls"] - before
        assert calls <= 2 * (time.monotonic() - began + 2)
        assert web.get("/api/v1/queues").status == 200


def test_listeners_are_told_that_the_broker_is_away_and_let_go_at_the_end(serve: Serve, room: Room) -> None:
    with Proxy(room.url) as proxy, ExitStack() as stack:
        web = serve(broker=proxy.url)
        stream = listen(web, stack)
        assert next_event(stream)[0] == "stats"
        with proxy.fault(Refuse()):
            proxy.cut()
            while next_event(stream)[0] != "away":
                pass
        while next_event(stream)[0] != "stats":
            pass
        assert web.host.terminate() == 0
        assert "Traceback" not in web.host.log()
