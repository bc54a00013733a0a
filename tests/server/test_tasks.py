"""Tasks over HTTP: create one or many, once or more, look, wait, cancel, retry."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import OPERATE, READ, Serve, Work
from tests.support.eventually import eventually
from tests.support.proxy import Proxy, Refuse
from tests.support.room import Room
from tests.support.web import Web

TASKS = "/api/v1/tasks"


def status(web: Web, id: str) -> str:
    return str(web.get(f"{TASKS}/{id}").json["status"])


def result(web: Web, id: str, wait: float = 10) -> Any:
    return web.get(f"/api/v1/results/{id}?wait={wait}").json


# -- creating ----------------------------------------------------------------------------------------------------------


def test_a_task_is_created_and_its_result_waited_for(web: Web, work: Work) -> None:
    work()
    made = web.post(TASKS, {"type": "add", "args": [1], "kwargs": {"b": 2}, "priority": "high"})
    assert made.status == 201
    assert made.json.keys() == {"id", "queue", "created"}
    assert result(web, made.json["id"]) == {"id": made.json["id"], "status": "completed", "result": 3, "is_kept": True}
    shown = web.get(f"{TASKS}/{made.json['id']}").json
    assert (shown["status"], shown["result"], shown["attempts"]) == ("completed", 3, [])


def test_options_are_those_of_a_call(web: Web) -> None:
    said = {
        "type": "add", "args": [1], "queue": "mail", "priority": 0, "delay": "1h", "expires": 7200, "retries": 7,
        "result_ttl": "1d", "time_limit": 5, "soft_time_limit": "4s", "id": "mine",
    }  # fmt: skip
    assert web.post(TASKS, said).json == {"id": "mine", "queue": "mail", "created": True}
    shown = web.get(f"{TASKS}/mine").json
    assert (shown["status"], shown["queue"], shown["priority"]) == ("scheduled", "mail", "low")
    assert shown["headers"] == {"retries": 7, "soft_time_limit": 4.0, "time_limit": 5.0}
    assert 0 < shown["due_at_ms"] - shown["enqueued_at_ms"] <= 3_601_000
    assert web.post(TASKS, {"type": "add", "args": [1], "eta": "2099-01-01T00:00:00Z"}).status == 201
    more = {"id": "with", "headers": {"trace": "x7"}, "expires": "2099-01-01T00:00:00+02:00", "durable": False}
    assert web.post(TASKS, {"type": "add", "args": [1], **more}).status == 201
    shown = web.get(f"{TASKS}/with").json
    assert (shown["headers"], shown["expires_at_ms"]) == ({"trace": "x7"}, 4_070_901_600_000)


def test_a_unique_task_is_created_once(web: Web) -> None:
    first = web.post(TASKS, {"type": "sync", "args": ["ann"]})
    second = web.post(TASKS, {"type": "sync", "args": ["ann"]})
    assert (first.status, second.status) == (201, 200)
    assert second.json == {**first.json, "created": False}
    many = web.post(f"{TASKS}/bulk", {"type": "sync", "calls": [["ann"], ["bob"], {"user": "bob"}]}).json
    assert (many["number"], many["created"], many["ids"][0], many["ids"][1]) == (3, 1, first.json["id"], many["ids"][2])
    assert web.post(TASKS, {"type": "strict", "args": ["ann"]}).status == 201
    refused = web.post(TASKS, {"type": "strict", "args": ["ann"]})
    assert refused.status == 409
    assert "is there already" in refused.json["detail"]


def test_calls_say_by_what_they_are_unique(web: Web) -> None:
    def made(**options: Any) -> tuple[int, str]:
        answer = web.post(TASKS, {"type": "add", "args": [1, options.pop("b", 2)], **options})
        return answer.status, answer.json.get("id", answer.json.get("refused"))

    one: dict[str, Any] = {"unique": ["a", "b"], "unique_until": "start"}
    first = made(**one)[1]
    assert made(**one) == (200, first)
    assert made(**one, b=3)[0] == made(unique=False)[0] == 201
    assert made(**one, on_duplicate="raise") == (409, first)
    assert made(unique="a", throttle="1h")[0] == 201
    assert made(unique="a", throttle="1h")[0] == 200
    later = made(unique=True, debounce="1h", debounce_max="2h", b=9)[1]
    assert made(unique=True, debounce="1h", debounce_max="2h", b=9) == (200, later)
    assert status(web, later) == "scheduled"
    for number, headers in enumerate(({}, {"Idempotency-Key": "many"})):
        many = {"type": "add", "calls": [[1, 4 + number], [1, 2]], **one, "on_duplicate": "raise"}
        refused = web.post(f"{TASKS}/bulk", many, headers)
        assert refused.status == 409
        assert (len(refused.json["ids"]), refused.json["ids"][1], refused.json["refused"]) == (2, first, first)
        assert status(web, refused.json["ids"][0]) == "queued"


UNFIT: list[tuple[dict[str, Any], str]] = [
    ({"unique": "c"}, "unique"),
    ({"unique": []}, "unique"),
    ({"unique": 1}, "unique"),
    ({"debounce": -1}, "debounce"),
    ({"unique_until": "noon"}, "unique_until"),
    ({"unique": "a", "throttle": 1, "debounce": 1}, "throttle"),
    ({"headers": [1]}, "headers"),
    ({"expires": "2099-13-01"}, "expires"),
    ({"expires": "2099-01-01"}, "expires"),
]


def test_options_that_do_not_fit_are_named(web: Web) -> None:
    for wrong, field in UNFIT:
        answer = web.post(TASKS, {"type": "add", "args": [1], **wrong})
        assert answer.status == 400, (wrong, answer)
        assert any(name.startswith(field) for name in answer.fields), (wrong, answer)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "type"),
    ({"type": "ad"}, "type"),
    ({"type": "os.system", "args": ["true"]}, "type"),
    ({"type": ""}, "type"),
    ({"type": 5}, "type"),
    ({"type": "add"}, "kwargs.a"),
    ({"type": "add", "args": [1, 2, 3]}, "args"),
    ({"type": "add", "kwargs": {"a": 1, "c": 1}}, "kwargs.c"),
    ({"type": "turn", "args": ["a\nb"]}, "kwargs.user"),
    ({"type": "turn", "args": ["x" * 201]}, "kwargs.user"),
    ({"type": "turn", "args": [0.5]}, "kwargs.user"),
    ({"type": "add", "args": "1"}, "args"),
    ({"type": "add", "args": [1], "kwargs": []}, "kwargs"),
    ({"type": "add", "args": [1], "colour": "red"}, "colour"),
    ({"type": "add", "args": [1], "queue": "nope"}, "queue"),
    ({"type": "add", "args": [1], "queue": "a\r\nb{}*:"}, "queue"),
    ({"type": "add", "args": [1], "queue": "x" * 10_000}, "queue"),
    ({"type": "add", "args": [1], "id": "a b"}, "id"),
    ({"type": "add", "args": [1], "id": "x" * 201}, "id"),
    ({"type": "add", "args": [1], "eta": "2099-01-01"}, "eta"),
    ({"type": "add", "args": [1], "eta": "tomorrow"}, "eta"),
    ({"type": "add", "args": [1], "durable": 1}, "durable"),
    ({"type": "add", "args": [1], "delay": "1h", "eta": "2099-01-01T00:00:00Z"}, "delay"),
    ({"type": "add", "args": [1], "soft_time_limit": 5, "time_limit": 5}, "soft_time_limit"),
    *(
        ({"type": "add", "args": [1], field: value}, field)
        for field in ("priority", "delay", "expires", "retries", "result_ttl", "time_limit")
        for value in list[Any]((-1, 10**30, "five", True, [], {}))
    ),
]


def test_what_finds_no_room_is_told_when_to_come_again_and_what_is_there(web: Web) -> None:
    calls = {"type": "narrow", "calls": [[1], [2], [3]]}
    many = web.post(f"{TASKS}/bulk", calls)
    assert (many.status, many.headers["retry-after"], len(many.json["ids"])) == (429, "1", 2)
    assert [status(web, id) for id in many.json["ids"]] == ["queued"] * 2
    one = web.post(TASKS, {"type": "narrow", "args": [4]})
    assert (one.status, "ids" in one.json) == (429, False)
    assert web.post("/enqueue", {"type": "narrow", "payload": 5}).status == 429


def test_many_with_a_key_that_found_no_room_are_repeated_as_a_whole(web: Web) -> None:
    many, key = {"type": "narrow", "calls": [[1], [2], [3]]}, {"Idempotency-Key": "narrow"}
    first, again = [web.post(f"{TASKS}/bulk", many, key) for _ in range(2)]
    assert (first.status, again.status) == (429, 429)
    assert first.json["ids"] == again.json["ids"]
    assert len(first.json["ids"]) == 2


def test_what_does_not_fit_is_refused_with_the_name_of_the_field(web: Web, room: Room) -> None:
    for said, field in WRONG:
        answer = web.post(TASKS, said)
        assert answer.status == 400, (said, answer)
        assert field in answer.fields, (said, answer)
    assert room.redis.keys(room.key("TASKS")) == []


JSON: list[tuple[bytes, str]] = [
    (b"{", "body"),
    (b"", "type"),
    (b"nul", "body"),
    (b"[]", ""),
    (b"7", ""),
    (b'"add"', ""),
    (b'{"type":"add","args":[NaN]}', "body"),
    (b'{"type":"add","args":[-Infinity]}', "body"),
    (b'{"type":"add","args":[1e999]}', "body"),
    (b'{"type":"add","args":[' + b"9" * 100_000 + b"]}", "body"),
    (b'{"type":"add","type":"echo","args":[1]}', "type"),
    (b'{"type":"echo","args":[{"x":1,"x":2}]}', "x"),
    (b'{"type":"echo","args":["\\ud800"]}', "args"),
    (b'{"type":"echo","kwargs":{"\\ud800":1}}', "args"),
    (b'{"type":"echo","args":["\xff"]}', "body"),
    (b"[" * 100_000 + b"]" * 100_000, "body"),
    (b'{"type":"echo","args":[' + b"[" * 1000 + b"]" * 1000 + b"]}", "body"),
    (b'{"type":"echo","args":[' + b"9" * 4000 + b"]}", "args"),
]


def test_what_is_very_deep_is_cut_short_where_it_is_shown(web: Web, work: Work) -> None:
    raw = b'{"type":"echo","args":[' + b"[" * 400 + b"]" * 400 + b"]}"
    id = web.ask("POST", TASKS, raw=raw, headers={"Content-Type": "application/json"}).json["id"]
    work()
    assert web.get(f"/api/v1/results/{id}?wait=20").text.count("[") == 101
    assert web.get(f"{TASKS}/{id}").status == 200


def test_an_argument_may_have_any_name(web: Web, work: Work) -> None:
    work()
    more = {"self": 1, "args": 2, "kwargs": 3, "__class__": 4, "": 5}
    id = web.post(TASKS, {"type": "echo", "kwargs": {"value": 0, **more}}).json["id"]
    assert result(web, id)["result"] == {"value": 0, **more}


def test_json_is_read_strictly(web: Web, room: Room) -> None:
    for raw, field in JSON:
        answer = web.ask("POST", TASKS, raw=raw, headers={"Content-Type": "application/json"})
        assert answer.status in (400, 201), (raw[:80], answer)
        if answer.status == 400:
            assert field in answer.fields, (raw[:80], answer)
    assert (
        web.ask("POST", TASKS, raw=b"x=1", headers={"Content-Type": "application/x-www-form-urlencoded"}).status == 415
    )
    million = b'{"type":"add","args":[1],"kwargs":{' + b",".join(b'"k%d":1' % n for n in range(100_000)) + b"}}"
    assert web.ask("POST", TASKS, raw=million, headers={"Content-Type": "application/json"}).status == 400
    names = {"__proto__": 1, "__class__": "x", "self": 2}
    assert web.post(TASKS, {"type": "echo", "args": [names]}).status == 201


def test_a_message_above_the_limit_is_refused(web: Web) -> None:
    answer = web.post(TASKS, {"type": "echo", "args": ["x" * (1 << 20)]})
    assert (answer.status, answer.fields) == (413, ["args"])


def test_many_calls_are_created_together(web: Web, work: Work, room: Room) -> None:
    made = web.post(
        f"{TASKS}/bulk", {"type": "add", "calls": [[1, n] for n in range(2500)] + [{"a": 7}], "priority": 2}
    )
    assert made.status == 201
    assert (made.json["number"], made.json["created"], len(set(made.json["ids"]))) == (2501, 2501, 2501)
    assert room.redis.llen(room.key("QUEUE", "high")) == 2501
    work()
    assert [result(web, made.json["ids"][n])["result"] for n in (0, 2499, 2500)] == [1, 2500, 7]


def test_many_calls_may_each_have_options_of_their_own(web: Web) -> None:
    tasks = [{"type": "add", "args": [1], "id": "one"}, {"type": "fail", "args": ["x"], "priority": "low"}]
    made = web.post(f"{TASKS}/bulk", {"tasks": [*tasks, tasks[0]]})
    assert made.status == 201
    assert (made.json["ids"][0], made.json["ids"][2], made.json["created"]) == ("one", "one", 2)
    assert [web.get(f"{TASKS}/{id}").json["queue"] for id in made.json["ids"]] == ["default", "mail", "default"]


def test_of_many_calls_all_are_sent_or_none(web: Web, room: Room) -> None:
    wrong = [
        ({"type": "add", "calls": [[1]] * 2000 + [[]]}, "calls.2000.kwargs.a"),
        ({"tasks": [{"type": "add", "args": [1]}, {"type": "nope"}]}, "tasks.1.type"),
        ({"tasks": [{"type": "add", "args": [1]}, {"type": "add"}]}, "tasks.1.kwargs.a"),
        ({"tasks": [{"type": "add", "args": [1], "priority": 9}]}, "tasks.0.priority"),
        ({"type": "add"}, "calls"),
        ({"type": "add", "calls": [], "tasks": []}, "calls"),
        ({"type": "add", "calls": [5]}, "calls.0"),
        ({"type": "add", "calls": [[1]] * 10_001}, "calls"),
        ({"tasks": [], "priority": 1}, "priority"),
        ({}, "calls"),
    ]
    for said, field in wrong:
        answer = web.post(f"{TASKS}/bulk", said)
        assert answer.status == 400, answer
        assert any(name.startswith(field) for name in answer.fields), (field, answer)
    assert not room.redis.exists(room.key("TASKS"))


def test_a_request_with_an_idempotency_key_makes_one_task_whenever_it_is_repeated(web: Web, work: Work) -> None:
    once = {"Idempotency-Key": "order 17"}
    first = web.post(TASKS, {"type": "add", "args": [1, 1]}, once)
    assert (first.status, first.json["created"]) == (201, True)
    again = web.post(TASKS, {"type": "add", "args": [2, 2]}, once)
    assert (again.status, again.json) == (200, {**first.json, "created": False})
    work()
    assert result(web, first.json["id"])["result"] == 2
    late = web.post(TASKS, {"type": "add", "args": [3, 3]}, once)
    assert (late.status, late.json) == (200, again.json)
    assert result(web, first.json["id"])["result"] == 2
    many = {"type": "add", "calls": [[1], [2]]}
    made = [web.post(f"{TASKS}/bulk", many, {"Idempotency-Key": "many"}).json for _ in range(2)]
    assert made[0]["ids"] == made[1]["ids"]
    assert [each["created"] for each in made] == [2, 0]
    assert web.post(TASKS, {"type": "add", "args": [1], "id": "x"}, once).fields == ["id"]
    assert web.post(TASKS, {"type": "add", "args": [1]}, {"Idempotency-Key": "x" * 256}).status == 400


def test_many_requests_with_one_idempotency_key_at_once_make_one_task(web: Web, room: Room) -> None:
    def ask(number: int) -> tuple[str, bool]:
        made = web.as_(web.key).post(TASKS, {"type": "add", "args": [number]}, {"Idempotency-Key": "k"}).json
        return made["id"], made["created"]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(40)))
    assert len({id for id, _ in found}) == sum(created for _, created in found) == 1
    assert room.redis.llen(room.key("QUEUE", "default")) == 1


def test_a_key_may_have_a_limit(web: Web, room: Room) -> None:
    slow = web.as_("s" * 20)
    statuses = [slow.post(TASKS, {"type": "add", "args": [1]}).status for _ in range(8)]
    assert statuses[:5] == [201] * 5
    assert 429 in statuses
    assert int(slow.post(TASKS, {"type": "add", "args": [1]}).headers["retry-after"]) >= 1
    assert slow.post(f"{TASKS}/bulk", {"type": "add", "calls": [[1]] * 500}).status == 429
    assert web.post(TASKS, {"type": "add", "args": [1]}).status == 201


def test_a_field_that_does_not_exist_is_called_so(web: Web) -> None:
    answer = web.post(TASKS, {"type": "add", "args": [1], "dealy": 3})
    assert "there is no such field" in str(answer.json), answer


def test_unknown_types_may_be_allowed(serve: Serve) -> None:
    web = serve("--unknown-types")
    assert web.post(TASKS, {"type": "elsewhere", "kwargs": {"x": 1}}).status == 201
    assert web.post(TASKS, {"type": "no type!"}).fields == ["type"]


# -- results and details -----------------------------------------------------------------------------------------------


def test_a_result_is_waited_for_without_holding_others_up(web: Web, work: Work, tmp_path: Path) -> None:
    work()
    gate = tmp_path / "gate"
    id = web.task("hold", str(gate))
    assert web.get(f"/api/v1/results/{id}").status == 202
    found: list[Any] = []
    other = web.as_(web.key)
    waiter = threading.Thread(target=lambda: found.append(result(other, id, 20)))
    waiter.start()
    assert web.get("/api/v1/queues/default").json["queue"] == "default"
    gate.touch()
    waiter.join(20)
    assert found[0]["result"] == "held"


def test_each_ending_is_told(web: Web, work: Work, tmp_path: Path) -> None:
    cancelled = web.task("add", 1)
    assert web.post(f"{TASKS}/{cancelled}/cancel").json == {"id": cancelled, "outcome": "cancelled"}
    work()
    silent, dead = web.task("silent"), web.task("fail", "<img src=x onerror=alert(1)>")
    assert result(web, cancelled) == {"id": cancelled, "status": "cancelled"}
    assert result(web, silent) == {"id": silent, "status": "completed", "is_kept": False}
    told = result(web, dead)
    assert (told["status"], told["error"]["type"]) == ("dead", "ValueError")
    assert told["error"]["message"] == "<img src=x onerror=alert(1)>"
    for path in ("/api/v1/results/nobody", f"{TASKS}/nobody", f"{TASKS}/default.00000000000000000000"):
        assert web.get(path).status == 404
    assert web.get("/api/v1/results/nobody?wait=61").fields == ["wait"]
    assert web.get("/api/v1/results/a%20b").fields == ["id"]


def test_values_of_named_arguments_are_hidden(serve: Serve, work: Work) -> None:
    web = serve("--redact", "password,Token")
    work()
    made = web.post(TASKS, {"type": "echo", "kwargs": {"value": {"token": "t1", "x": 1}, "password": "p1"}}).json
    assert result(web, made["id"])["result"] == {"value": {"token": "***", "x": 1}, "password": "***"}
    shown = web.get(f"{TASKS}/{made['id']}")
    assert "p1" not in shown.text
    assert "t1" not in shown.text
    later = {"type": "log_in", "args": ["ann", "p2"], "delay": "1h"}
    placed = web.post(TASKS, later).json["id"]
    assert web.get(f"{TASKS}/{placed}").json["args"] == ["ann", "***"]
    other = web.post(TASKS, {**later, "type": "log_in@7"}).json["id"]
    assert web.get(f"{TASKS}/{other}").json["args"] == ["***", "***"], "nobody here knows their names"
    assert [one["id"] for one in web.get(f"{TASKS}?args=user:ann").json["tasks"]] == [placed]
    assert web.get(f"{TASKS}?args=password:p2").json["tasks"] == [], "what is hidden cannot be guessed"
    assert web.post("/api/v1/schedules", {"name": "s", "when": "@daily", "type": "log_in", "args": ["ann", "p4"]}).json[
        "args"
    ] == ["ann", "***"]


def test_secrets_are_hidden_unasked_and_stay_when_other_arguments_are_edited(web: Web, work: Work) -> None:
    work()
    id = web.task("log_in", "nobody", "pass-1234")
    eventually(lambda: status(web, id) == "dead", "it has failed")
    shown = web.get(f"{TASKS}/{id}")
    assert shown.json["args"] == ["nobody", "***"]
    assert "pass-1234" not in shown.text
    assert shown.json["error"]["message"] == "not with ***"
    assert web.post(f"{TASKS}/{id}/retry", {"args": ["ann", "***"]}).status == 200
    assert result(web, id)["result"] == "ann with pass-1234"


# -- cancelling and retrying -------------------------------------------------------------------------------------------


def test_a_running_task_is_cancelled_on_demand(web: Web, work: Work, tmp_path: Path) -> None:
    work()
    id = web.task("hold", str(tmp_path / "never"))
    eventually(lambda: status(web, id) == "running", "it runs")
    refused = web.post(f"{TASKS}/{id}/cancel")
    assert refused.status == 409
    assert "running or kill" in refused.json["detail"]
    assert web.post(f"{TASKS}/{id}/cancel", {"running": True}).json["outcome"] == "ordered"
    assert result(web, id)["status"] == "cancelled"
    assert web.post(f"{TASKS}/{id}/cancel").status == 409
    waits, once = web.post(TASKS, {"type": "add", "args": [1], "delay": "1h"}).json["id"], {"Idempotency-Key": "c1"}
    assert [web.post(f"{TASKS}/{waits}/cancel", headers=once).json["outcome"] for _ in range(2)] == ["cancelled"] * 2
    assert web.post(f"{TASKS}/nobody/cancel").status == 404
    assert web.post(f"{TASKS}/{id}/cancel", {"running": 1}).fields == ["running"]


def test_a_dead_task_is_run_again_as_it_was_or_with_other_arguments(web: Web, work: Work) -> None:
    work()
    id = web.task("fail", "no")
    assert result(web, id)["status"] == "dead"
    assert web.post(f"{TASKS}/{id}/retry").status == 200
    eventually(lambda: result(web, id).get("error", {}).get("message") == "no", "it fails again")
    assert len(web.get(f"{TASKS}/{id}").json["attempts"]) == 3
    assert web.post(f"{TASKS}/{id}/retry", {"args": []}).fields == ["kwargs.text"]
    assert web.post(f"{TASKS}/{id}/retry", {"kwargs": {"nope": 1}}).fields == ["kwargs.nope"]
    assert web.post(f"{TASKS}/{id}/retry", {"args": ["well"]}).status == 200
    assert result(web, id)["result"] == "done"
    assert web.post(f"{TASKS}/{id}/retry").status == 409
    assert web.post(f"{TASKS}/nobody/retry").status == 404


def test_what_runs_in_order_is_run_again_in_order(web: Web, work: Work) -> None:
    work()
    id = web.task("turn", "ann", "no")
    assert result(web, id)["status"] == "dead"
    again = web.post(f"{TASKS}/{id}/retry", {"args": ["ann"]})
    assert again.status == 200, again
    assert result(web, id)["result"] == "ann"


def test_a_dead_task_is_deleted_by_an_admin(web: Web, work: Work) -> None:
    work()
    id = web.task("fail", "no")
    assert result(web, id)["status"] == "dead"
    assert web.as_(OPERATE).ask("DELETE", f"{TASKS}/{id}").status == 403
    assert web.ask("DELETE", f"{TASKS}/{id}").status == 204
    assert web.ask("DELETE", f"{TASKS}/{id}").status == web.get(f"{TASKS}/{id}").status == 404
    waits = web.post(TASKS, {"type": "add", "args": [1], "delay": "1h"}).json["id"]
    assert web.ask("DELETE", f"{TASKS}/{waits}").status == 409
    assert status(web, waits) == "scheduled"


def test_what_waits_is_given_another_time_or_priority(web: Web, work: Work) -> None:
    id = web.task("add", 1)
    made = web.post(f"{TASKS}/{id}/reschedule", {"delay": "1h", "priority": "high"})
    assert made.json == {"id": id, "queue": "default", "status": "scheduled"}
    assert web.get(f"{TASKS}/{id}").json["priority"] == "high"
    assert web.post(f"{TASKS}/{id}/reschedule", {"eta": "2020-01-01T00:00:00Z"}).json["status"] == "queued"
    for body, field in (
        ({}, ""), ({"delay": 1, "eta": "2020-01-01T00:00:00Z"}, ""), ({"delay": -1}, "delay"), ({"nope": 1}, "nope"),
        ({"eta": "2020-01-01T00:00:00"}, "eta"), ({"priority": "urgent"}, "priority"),
    ):  # fmt: skip
        refused = web.post(f"{TASKS}/{id}/reschedule", body)
        assert refused.status == 400
        assert field in "".join(refused.fields)
    assert web.post(f"{TASKS}/{id}/reschedule", {"queue": "nope"}).fields == ["queue"]
    assert web.post(f"{TASKS}/{id}/reschedule", {"queue": "mail"}).json["queue"] == "mail"
    work()
    assert result(web, id)["status"] == "completed"
    assert web.get(f"{TASKS}/{id}").json["queue"] == "mail"
    assert web.post(f"{TASKS}/{id}/reschedule", {"delay": 0}).status == 409
    assert web.post(f"{TASKS}/nobody/reschedule", {"delay": 0}).status == 404
    assert web.as_(READ).post(f"{TASKS}/{id}/reschedule", {"delay": 0}).status == 403


# -- the broker's bad days ---------------------------------------------------------------------------------------------


def test_while_the_broker_is_away_requests_may_be_repeated_later(serve: Serve, room: Room) -> None:
    with Proxy(room.url) as proxy:
        web = serve(broker=proxy.url)
        with proxy.fault(Refuse()):
            proxy.cut()
            for answer in (
                web.post(TASKS, {"type": "add", "args": [1]}),
                web.get("/api/v1/queues"),
                web.get(f"{TASKS}/x"),
            ):
                assert answer.status == 503
                assert answer.headers["retry-after"] == "1"
                assert "127.0.0.1" not in answer.text
            assert web.as_("wrong").get("/api/v1/queues").status == 401
        assert web.post(TASKS, {"type": "add", "args": [1]}).status == 201


def test_a_reader_changes_nothing(web: Web, room: Room) -> None:
    id = web.task("add", 1)
    reader = web.as_(READ)
    for path in (TASKS, f"{TASKS}/bulk", f"{TASKS}/{id}/cancel", f"{TASKS}/{id}/retry", "/enqueue"):
        assert reader.post(path, {}).status == 403
    assert reader.get(f"{TASKS}/{id}").json["status"] == "queued"


@pytest.mark.parametrize("number", [50])
def test_aborted_requests_never_bring_foreign_answers(web: Web, number: int) -> None:
    ids = [web.task("echo", n) for n in range(5)]
    for n in range(number):
        with web.wire() as wire:
            wire.sendall(
                b"GET /api/v1/tasks/%b HTTP/1.1\r\nHost: x\r\nX-API-Key: %b\r\n\r\n"
                % (ids[n % 5].encode(), str(web.key).encode())
            )
            time.sleep(0.001 * (n % 3))
        shown = web.get(f"{TASKS}/{ids[(n + 1) % 5]}").json
        assert (shown["id"], shown["args"]) == (ids[(n + 1) % 5], [(n + 1) % 5])


def test_why_a_task_does_not_run(web: Web) -> None:
    web.post(TASKS, {"type": "add", "args": [1], "id": "late", "delay": "1h"})
    found = web.get(f"{TASKS}/late/why").json
    assert (found["state"], found["type"]) == ("scheduled", "add")
    assert found["gates"][0]["name"] == "scheduled"
    assert found["gates"][0]["facts"]["attempt"] == 1
    assert web.get(f"{TASKS}/nobody/why").status == 404
