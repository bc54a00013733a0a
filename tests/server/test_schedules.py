"""Schedules over HTTP."""

from __future__ import annotations

from typing import Any

from tests.server.conftest import OPERATE, READ, Work
from tests.support.eventually import eventually
from tests.support.web import Web

SCHEDULES = "/api/v1/schedules"
DAILY = {"name": "shop/daily", "when": "0 7 * * *", "type": "add", "args": [1], "tz": "Europe/Berlin"}


def test_a_schedule_is_made_looked_at_changed_paused_and_deleted(web: Web) -> None:
    place = f"{SCHEDULES}/{DAILY['name']}"
    made = web.post(SCHEDULES, {**DAILY, "overlap": "skip", "jitter": "5m", "priority": "high"})
    assert made.status == 201, made
    assert (made.json["state"], made.json["jitter"], len(made.json["next"])) == ("active", 300.0, 5)
    assert made.json["next"][0][11:16] == "07:00"
    assert web.get(SCHEDULES).json["schedules"] == [made.json]
    assert web.get(place).json == {**made.json, "history": []}
    assert web.ask("PATCH", place, {"when": "0 8 * * *", "kwargs": {"b": 2}}).json["next"][0][11:16] == "08:00"
    paused = web.post(f"{place}/pause").json
    assert (paused["state"], paused["next"]) == ("paused", [])
    assert web.post(f"{place}/resume").json["state"] == "active"
    id = web.post(f"{place}/trigger").json["id"]
    assert web.get(f"/api/v1/tasks/{id}").json["kwargs"] == {"b": 2}
    once = {"Idempotency-Key": "now"}
    assert len({web.post(f"{place}/trigger", headers=once).json["id"] for _ in range(2)}) == 1
    assert [tick["outcome"] for tick in web.get(place).json["history"]] == ["triggered"] * 2
    assert web.as_(OPERATE).ask("DELETE", place).status == 403
    assert web.ask("DELETE", place).status == 204
    assert web.get(place).status == web.ask("DELETE", place).status == web.post(f"{place}/pause").status == 404


def test_what_cannot_be_a_schedule_is_refused_with_the_name_of_the_field(web: Web) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"name": ""}, "name"),
        ({"name": "a b"}, "name"),
        ({"name": "x" * 1000}, "name"),
        ({"when": "often"}, "when"),
        ({"when": "0 0 30 2 *"}, "when"),
        ({"tz": "Mars/Olympus"}, "tz"),
        ({"type": "nope"}, "type"),
        ({"args": []}, "kwargs.a"),
        ({"overlap": "twice"}, "overlap"),
        ({"missed": 1}, "missed"),
        ({"jitter": "2d"}, "jitter"),
        ({"queue": "nope"}, "queue"),
        ({"colour": "red"}, "colour"),
    ]
    for change, field in wrong:
        answer = web.post(SCHEDULES, {**DAILY, **change})
        assert answer.status == 400, (change, answer)
        assert field in answer.fields, (change, answer)
    assert web.get(SCHEDULES).json == {"schedules": []}
    assert web.post(SCHEDULES, DAILY).status == 201
    assert web.post(SCHEDULES, DAILY).fields == ["name"]
    assert web.ask("PATCH", f"{SCHEDULES}/{DAILY['name']}", {}).status == 400
    assert web.post(f"{SCHEDULES}/{DAILY['name']}/reset").status == 400
    assert web.as_(READ).post(SCHEDULES, DAILY).status == 403


def test_one_of_the_code_is_changed_and_reset(web: Web, work: Work) -> None:
    work()
    place = f"{SCHEDULES}/hourly"
    eventually(lambda: web.get(place).status == 200, "the host has declared it")
    assert (web.get(place).json["when"], web.get(place).json["is_declared"]) == ("@hourly", True)
    assert web.ask("PATCH", place, {"when": "@daily"}).json["is_edited"]
    assert web.post(f"{place}/reset").json["when"] == "@hourly"
    assert web.ask("DELETE", place).status == 400
