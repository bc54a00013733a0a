"""What clients of the first system call answers as it did, to the byte."""

from __future__ import annotations

import re

from tests.server.conftest import OPERATE, Serve, Work
from tests.support.eventually import eventually
from tests.support.proxy import Proxy, Refuse
from tests.support.room import Room
from tests.support.web import Answer, Web


def enqueued(answer: Answer) -> str:
    """The id in the one line of an answer."""
    match = re.fullmatch(r"Task enqueued: (\S+)\n", answer.text)
    assert answer.status == 200, answer
    assert match, answer
    return match[1]


def test_a_task_is_enqueued_and_its_result_is_told(serve: Serve, work: Work) -> None:
    web = serve(more={"API_KEY": "s3"}, key="s3")
    id = enqueued(web.ask("POST", "/enqueue", raw=b'{"type":"add","priority":2,"payload":{"a":1,"b":2}}\n'))
    missing = web.get(f"/result?id={id}")
    assert (missing.status, missing.text) == (404, "Result not found\n")
    work()
    eventually(lambda: web.get(f"/result?id={id}").status == 200, "the task is completed")
    found = web.get(f"/result?id={id}")
    assert found.headers["content-type"] == "application/json"
    assert re.fullmatch(r'\{"status":"completed","timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"\}', found.text)


PRIORITIES = {"0": "low", "1": "default", "2": "high", '"low"': "low", '"high"': "high", "null": "default"}


def test_a_priority_may_be_a_number_or_a_name(web: Web, room: Room) -> None:
    for said, level in PRIORITIES.items():
        id = enqueued(web.ask("POST", "/enqueue", raw=b'{"type":"add","priority":%b,"payload":1}' % said.encode()))
        assert room.redis.rpop(room.key("QUEUE", level)) == id.encode(), said
        room.redis.flushall()


WRONG = [
    ("GET", "/enqueue", b"", 405, "Method not allowed\n"),
    ("PUT", "/enqueue", b"{}", 405, "Method not allowed\n"),
    ("POST", "/enqueue", b"{", 400, None),
    ("POST", "/enqueue", b"[]", 400, None),
    ("POST", "/enqueue", b'{"payload":{}}', 400, None),
    ("POST", "/enqueue", b'{"type":"add","payload":{"c":1}}', 400, None),
    ("POST", "/enqueue", b'{"type":"unknown","payload":{}}', 400, None),
    ("POST", "/enqueue", b'{"type":"add","priority":3,"payload":1}', 400, None),
    ("POST", "/enqueue", b'{"type":"add","priority":true,"payload":1}', 400, None),
    ("GET", "/result", b"", 400, "Missing task ID\n"),
    ("GET", "/result?id=", b"", 400, "Missing task ID\n"),
    ("GET", "/result?id=default.00000000000000000000", b"", 404, "Result not found\n"),
    ("GET", "/result?id=nobody-knows-it", b"", 404, "Result not found\n"),
    ("POST", "/result?id=x", b"", 405, "Method not allowed\n"),
    ("DELETE", "/schedule", b"", 405, "Method not allowed\n"),
    ("POST", "/schedule", b"", 400, None),
    ("POST", "/schedule", b"7", 400, None),
    ("POST", "/enqueue", b'{"type":"add","payload":"%b"}' % (b"x" * (1 << 20)), 413, None),
    ("POST", "/schedule", b'{"spec":"@daily","type":"echo","payload":"%b"}' % (b"x" * (1 << 20)), 413, None),
]


def test_what_does_not_fit_is_told_in_a_line_of_text(web: Web) -> None:
    for method, path, body, status, text in WRONG:
        answer = web.ask(method, path, raw=body)
        assert answer.status == status, (method, path, body, answer)
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.text.endswith("\n")
        assert answer.text.count("\n") == 1
        assert text in (None, answer.text)


def test_a_schedule_is_made_once_however_often_it_is_asked_for(web: Web, work: Work) -> None:
    said = {"spec": "@every 1s", "type": "add", "payload": {"a": 1, "b": 2}, "priority": 2}
    numbers = set()
    for _ in range(3):
        match = re.fullmatch(r"Job scheduled with EntryID: (\d+)\n", web.post("/schedule", said).text)
        assert match
        numbers.add(match[1])
    assert len(numbers) == 1
    found = web.get("/api/v1/schedules").json["schedules"]
    assert [(one["name"], one["when"], one["kwargs"]) for one in found] == [
        (f"entry-{numbers.pop()}", "@every 1s", {"a": 1, "b": 2})
    ]
    work()
    eventually(lambda: web.get("/api/v1/stats").json["totals"]["completed"] >= 2, "it ticks")


LONG = "9" * 4000
SPECS = {
    "@every 1h30m": ("@every 5400s", ""),
    "@every 1m0.5s": ("@every 60s", ""),
    "*/5 * * * *": ("*/5 * * * *", ""),
    "@midnight": ("@midnight", ""),
    "CRON_TZ=Asia/Tokyo 0 6 * * *": ("0 6 * * *", "Asia/Tokyo"),
    "TZ=Europe/Berlin @daily": ("@daily", "Europe/Berlin"),
}


def test_specs_are_read_as_the_first_system_read_them(web: Web) -> None:
    for spec in SPECS:
        assert web.post("/schedule", {"spec": spec, "type": "echo", "payload": spec}).status == 200, spec
    found = web.get("/api/v1/schedules").json["schedules"]
    assert {one["args"][0]: (one["when"], one["tz"]) for one in found} == SPECS
    for spec in (
        "",
        "often",
        "61 * * * *",
        "@every",
        "@every 1x",
        "TZ=Mars/Olympus @daily",
        "0 0 30 2 *",
        LONG,
        f"@every {LONG}h",
    ):
        answer = web.post("/schedule", {"spec": spec, "type": "echo"})
        assert (answer.status, answer.text[:19]) == (400, "Invalid cron spec: "), answer
    for wrong in (
        {"type": "echo"},
        {"spec": "@daily"},
        {"spec": "@daily", "type": "add"},
        {"spec": "@daily", "type": "no"},
    ):
        assert web.post("/schedule", wrong).status == 400
    assert web.get("/schedule").text == "Method not allowed\n"


def test_without_a_valid_key_there_is_nothing(web: Web) -> None:
    nobody = web.as_(None)
    for method, path in (("POST", "/enqueue"), ("GET", "/result?id=x"), ("POST", "/schedule")):
        answer = nobody.ask(method, path, raw=b'{"type":"add"}')
        assert (answer.status, answer.text) == (401, "Unauthorized\n")
    assert web.as_(OPERATE).ask("POST", "/enqueue", raw=b'{"type":"add","payload":1}').status == 200


def test_without_a_broker_it_is_an_error_of_the_server(serve: Serve, room: Room) -> None:
    said = {"spec": "@daily", "type": "add", "payload": 1}
    with Proxy(room.url) as proxy, proxy.fault(Refuse()):
        web = serve(broker=proxy.url)
        for answer in (web.post("/enqueue", said), web.post("/schedule", said), web.get("/result?id=x")):
            assert (answer.status, answer.headers["content-type"]) == (500, "text/plain; charset=utf-8")
            assert "redis://" not in answer.text
