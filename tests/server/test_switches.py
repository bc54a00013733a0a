"""Pauses, limits and budgets over HTTP, with the access that each needs."""

from __future__ import annotations

from datetime import datetime

from tests.server.conftest import OPERATE, READ, Work
from tests.support.apps.web import app
from tests.support.eventually import eventually
from tests.support.room import Room
from tests.support.web import Web

TASKS = "/api/v1/tasks"


def test_a_queue_a_type_and_a_key_are_paused_and_resumed(web: Web, work: Work) -> None:
    work()
    assert web.as_(READ).post("/api/v1/pauses", {"queue": "mail"}).status == 403
    shop = web.as_(OPERATE)
    said = {"type": "add", "queue": "default", "reason": "the provider is down"}
    assert shop.post("/api/v1/pauses", said).json == {"changed": True}
    assert shop.post("/api/v1/pauses", said).json == {"changed": False}
    assert shop.post("/api/v1/pauses", {"type": "geo", "key": "ann"}).json == {"changed": True}
    assert shop.post("/api/v1/queues/mail/pause", {"reason": "too many"}).json == {"changed": True}
    found = web.get("/api/v1/pauses").json["pauses"]
    assert [(one["queue"], one["type"], one["key"], one["by"], one["reason"]) for one in found] == [
        ("default", "add", None, "API key shop", "the provider is down"),
        ("default", "geo", "ann", "API key shop", ""),
        ("mail", None, None, "API key shop", "too many"),
        ("mail", "geo", "ann", "API key shop", ""),
    ]
    assert datetime.fromisoformat(found[0]["since"]).tzinfo is not None
    id = web.task("add", 1)
    gates = web.get(f"{TASKS}/{id}/why").json["gates"]
    assert gates[0]["name"] == "type_paused"
    assert gates[0]["text"].endswith(": the provider is down")
    assert gates[0]["facts"]["reason"] == "the provider is down"
    assert web.get(f"/api/v1/results/{id}?wait=0.1").status == 202
    assert shop.post("/api/v1/pauses/resume", {"type": "add"}).json == {"changed": True}
    assert web.get(f"/api/v1/results/{id}?wait=20").json["result"] == 1
    assert shop.post("/api/v1/queues/mail/resume").json == {"changed": True}
    assert shop.post("/api/v1/queues/mail/resume").json == {"changed": False}
    assert shop.post("/api/v1/pauses/resume", {"type": "geo", "key": "ann"}).json == {"changed": True}
    assert web.get("/api/v1/pauses").json == {"pauses": []}


def test_what_cannot_be_paused_is_named(web: Web) -> None:
    wrong = [
        ({}, "queue"), ({"key": "x"}, "queue"), ({"queue": "nope"}, "queue"), ({"type": "a b"}, "type"),
        ({"type": "add", "key": "x"}, ""), ({"queue": "mail", "reason": "a\nb"}, "reason"),
        ({"queue": "mail", "reason": "x" * 501}, "reason"), ({"queue": 1}, "queue"), ({"who": "me"}, "who"),
    ]  # fmt: skip
    for said, field in wrong:
        answer = web.post("/api/v1/pauses", said)
        assert answer.status == 400, (said, answer)
        assert not field or field in answer.fields, (said, answer)
    assert web.post("/api/v1/queues/nope/pause").status == web.post("/api/v1/queues/nope/resume").status == 404
    assert web.get("/api/v1/pauses").json == {"pauses": []}


def test_limits_are_set_and_cleared_while_everything_runs(web: Web, work: Work) -> None:
    host = work()
    declared = {"rate": "50/s", "rate_per_key": "5/s", "max_running": None, "max_running_per_key": None}
    eventually(lambda: web.get("/api/v1/limits?type=geo").json["limits"], "the worker has declared it")
    (found,) = web.get("/api/v1/limits?type=geo").json["limits"]
    assert (found["now"], found["declared"], found["is_set"]) == (declared, declared, False)
    shop = web.as_(OPERATE)
    (found,) = shop.ask("PATCH", "/api/v1/limits/geo", {"rate": "1/h", "max_running": [2, "1 per user"]}).json["limits"]
    assert found["now"] == declared | {"rate": "1/h", "max_running": 2, "max_running_per_key": 1}
    assert (found["declared"], found["is_set"], found["by"]) == (declared, True, "API key shop")
    assert {one["type"] for one in web.get("/api/v1/limits").json["limits"]} >= {"geo", "turn"}
    (found,) = shop.ask("DELETE", "/api/v1/limits/geo").json["limits"]
    assert (found["now"], found["is_set"], found["since"]) == (declared, False, None)
    for said, field in (
        ({}, "rate"), ({"rate": "fast"}, "rate"), ({"max_running": -1}, "max_running"), ({"rate": ["1/s"] * 9}, "rate"),
        ({"max_running": True}, "max_running"), ({"rate": "5/s per nobody"}, ""),
        ({"rate": "1/s", "queue": "no"}, "queue"),
    ):  # fmt: skip
        answer = shop.ask("PATCH", "/api/v1/limits/geo", said)
        assert answer.status == 400, (said, answer)
        assert not field or any(name.startswith(field) for name in answer.fields), (said, answer)
    assert shop.ask("PATCH", "/api/v1/limits/nobody", {"rate": "1/s"}).status == 400
    assert web.as_(READ).ask("PATCH", "/api/v1/limits/geo", {"rate": "1/s"}).status == 403
    host.close()


def test_budgets_are_looked_at_and_parked(web: Web, room: Room) -> None:
    names = [(one["name"], one["has_keys"], one["amounts"]) for one in web.get("/api/v1/budgets").json["budgets"]]
    calls, size = {"rate": "60/m burst 10", "unit": ""}, {"rate": "1000/m burst 100", "unit": "bytes"}
    assert names == [
        ("maps", False, [{**calls, "left": 10}, {**size, "left": 100}]),
        ("model", True, [{**calls, "left": None}]),
    ]
    app.rebind(room.url)
    with app.budgets["maps"].acquire(cost=60):
        pass
    found = web.get("/api/v1/budgets/maps").json
    assert 9 <= found["amounts"][0]["left"] < 9.9
    assert 40 <= found["amounts"][1]["left"] < 99
    shop = web.as_(OPERATE)
    parked = shop.post("/api/v1/budgets/model/park", {"retry_after": "1m", "key": "ann"}).json
    assert 50 < datetime.fromisoformat(parked["parked_until"]).timestamp() - room.now_ms() / 1000 <= 60.1
    assert web.get("/api/v1/budgets/model?key=ann").json == parked
    assert web.get("/api/v1/budgets/model?key=bob").json["parked_until"] is None
    id = web.task("geo", "ann")
    assert "budget_parked" in [gate["name"] for gate in web.get(f"{TASKS}/{id}/why").json["gates"]]
    assert web.get("/api/v1/budgets/nope").status == shop.post("/api/v1/budgets/nope/park", {}).status == 404
    assert shop.post("/api/v1/budgets/maps/park", {"retry_after": 1, "key": "ann"}).fields == ["key"]
    assert web.get("/api/v1/budgets/maps?key=ann").fields == ["key"]
    assert "retry_after" in shop.post("/api/v1/budgets/maps/park", {"retry_after": -1}).fields[0]
    assert web.as_(READ).post("/api/v1/budgets/maps/park", {"retry_after": 1}).status == 403
