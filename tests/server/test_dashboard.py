"""What the server does for the dashboard: its files, signing in, and what its pages ask that other programs do not."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest
from fastapi import FastAPI

from distq.server import cookies, pages
from distq.server.access import NOBODY, read_keys
from distq.server.alike import Alike
from tests.server.conftest import ADMIN, KEYS, OPERATE, READ, Work
from tests.server.test_mount import SERVED, ask, declared
from tests.support.eventually import eventually
from tests.support.room import Room
from tests.support.web import Web

SHARED = {"Cache-Control": "max-age=5"}
"""As tabs ask again and again."""


def signed_in(web: Web, key: str) -> dict[str, str]:
    """The cookie of somebody, as a header."""
    answer = web.as_(key).post("/api/v1/session")
    assert answer.status == 200, answer
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


def own_origin(web: Web) -> dict[str, str]:
    return {"Origin": f"http://127.0.0.1:{web.port}"}


def test_its_files_need_no_key_and_forbid_browsers_what_they_do_not_need(web: Web) -> None:
    nobody = web.as_(None)
    for path in sorted(pages.OPEN):
        answer = nobody.get(path)
        assert (answer.status, answer.headers["cache-control"]) == (200, "no-store"), path
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
    short = nobody.get("/dashboard/main.js", {"Accept-Encoding": "gzip, br"})
    assert gzip.decompress(short.body) == nobody.get("/dashboard/main.js").body
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert nobody.get("/", followed).status == 200, "a link from elsewhere"
    assert web.get("/api/v1/queues", followed).status == 403
    assert nobody.get("/dashboard/main.js", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}).status == 403
    assert {nobody.get(f"/dashboard/{name}").status for name in ("", "x", "index.html", "..%2fapi.py")} == {401}


def test_a_key_becomes_a_cookie_that_pages_cannot_read(web: Web) -> None:
    said = web.post("/api/v1/session", headers=own_origin(web)).headers["set-cookie"]
    assert said.startswith(f"distq-{web.port}=boss.")
    assert ADMIN not in said
    assert {"HttpOnly", "Path=/", "SameSite=strict"} <= set(said.split("; "))
    assert "Secure" not in said
    for key, level in ((READ, "read"), (OPERATE, "operate"), (ADMIN, "admin")):
        told = web.as_(None).get("/api/v1/session", signed_in(web, key)).json
        assert (told["level"], told["app"], told["is_open"]) == (level, "app", False)
    assert web.as_("wrong").post("/api/v1/session").status == web.as_("wrong").get("/api/v1/session").status == 401
    stranger = web.as_(None).get("/api/v1/session", {"Cookie": f"distq-{web.port}=boss.1.x"})
    assert (stranger.status, stranger.json["level"], stranger.json["app"]) == (200, "none", "")
    gone = web.as_(None).ask("DELETE", "/api/v1/session", headers=signed_in(web, READ) | own_origin(web))
    assert gone.status == 204
    assert "Max-Age=0" in gone.headers["set-cookie"]


def test_a_cookie_is_a_key_only_for_our_own_pages(web: Web) -> None:
    nobody, cookie = web.as_(None), signed_in(web, OPERATE)
    call = {"type": "add", "args": [1]}

    def send(**more: str) -> int:
        return nobody.post(
            "/api/v1/tasks", call, cookie | {name.replace("_", "-"): said for name, said in more.items()}
        ).status

    assert nobody.get("/api/v1/queues", cookie).status == 200
    assert send() == 403, "no word of where it comes from"
    assert send(Origin="http://evil.example") == send(Origin="null") == 403
    assert send(**own_origin(web)) == 201
    assert send(**own_origin(web), Sec_Fetch_Site="same-site") == 403
    form = {"Content-Type": "text/plain"} | cookie | own_origin(web)
    assert nobody.ask("POST", "/api/v1/tasks", headers=form, raw=b'{"type": "add"}').status == 415
    assert nobody.post("/api/v1/queues/default/purge", {}, cookie | own_origin(web)).status == 403, "the key's level"
    assert nobody.get("/api/v1/queues", cookie | {"X-API-Key": "wrong"}).status == 401
    reader = signed_in(web, READ) | own_origin(web)
    assert nobody.post("/api/v1/tasks", call, reader).status == 403
    assert web.post("/api/v1/queues/default/purge", {}).json["number"] == 1


def test_no_cookie_can_be_made_up_or_outlives_its_time_or_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    keys, host = read_keys({"DISTQ_API_KEYS": KEYS}), b"tasks.example:8081"
    boss = keys.find(ADMIN.encode())
    assert boss is not None
    good = cookies.signed(boss)
    name, until, signature = good.split(".")

    def found(value: str, of: Any = keys) -> str | None:
        key = cookies.find(of, b"a=b; distq-8081=" + value.encode(), host)
        return key.name if key is not None else None

    assert found(good) == "boss"
    wrong = [
        "", "boss", "boss..", "." * 600, good + "0", good[:-1], f"reader.{until}.{signature}", f"x.{until}.{signature}",
        f"{name}.{int(until) + 1}.{signature}", f"{name}.{until}.\u00e9",
    ]  # fmt: skip
    assert [value for value in wrong if found(value) is not None] == []
    assert cookies.find(keys, f"distq-8082={good}".encode(), host) is None
    assert found(good, read_keys({"DISTQ_API_KEYS": KEYS.replace(ADMIN, "b" * 20)})) is None
    monkeypatch.setattr(cookies, "LASTS_S", -1)
    assert found(cookies.signed(boss)) is None


def test_below_a_path_and_behind_tls_the_cookie_goes_no_further(url: str) -> None:
    app, outer = declared(url), FastAPI()
    outer.mount("/distq", app.asgi(SERVED))
    sent: dict[bytes, bytes] = {}

    async def main() -> None:
        assert (await ask(outer, "GET", "/distq/"))[0] == 200
        assert (await ask(outer, "GET", "/distq/dashboard/main.js"))[0] == 200
        more: Any = {"x_api_key": ADMIN, "host": "shop.example", "origin": "https://shop.example"}
        assert (await ask(outer, "POST", "/distq/api/v1/session", **more, into=sent))[0] == 200
        app.async_broker.close()

    asyncio.run(main())
    cookie = sent[b"set-cookie"].decode()
    assert cookie.startswith("distq=boss.")
    assert {"Path=/distq/", "Secure"} <= set(cookie.split("; "))


def test_types_are_told_with_what_a_form_needs(web: Web) -> None:
    types = {one["type"]: one for one in web.get("/api/v1/types").json["types"]}
    a, b = types["add"]["parameters"]
    assert (a["name"], a["kind"], a["required"]) == ("a", "whole", True)
    assert (b["name"], b["default"], b["required"]) == ("b", 0, False)
    value, more = types["echo"]["parameters"]
    assert (value["kind"], more["kind"], more["many"]) == ("json", "json", "keyword")
    assert types["hold"]["doc"] == "Runs until a file of this name exists."
    assert types["fail"]["queue"] == "mail"


def test_tasks_are_found_by_their_arguments(web: Web) -> None:
    first, second = web.task("add", 1, b=2), web.task("add", a=1)
    web.task("echo", value={"a": 1})

    def found(*args: str, **more: str) -> list[str]:
        query = "&".join([*(f"args={one}" for one in args), *(f"{name}={said}" for name, said in more.items())])
        return sorted(task["id"] for task in web.get(f"/api/v1/tasks?{query}").json["tasks"])

    assert found("a:1") == sorted([first, second])
    assert found("a:1", "b:2", type="add") == [first]
    assert found("a:2") == found("nothing:1") == []
    child = web.post("/api/v1/tasks", {"type": "add", "args": [7], "headers": {"parent_id": first}}).json["id"]
    assert found(parent=first) == found("a:7", parent=first) == [child]
    assert found("a:1", parent=first) == []
    assert found("a:1", since="1h", older_than="0s") == sorted([first, second])
    assert found("a:1", older_than="1h") == found("a:1", error="Error") == []
    assert len(found("value:%7B%22a%22%3A%201%7D")) == 1
    assert web.get("/api/v1/tasks?args=a:1").json["read"] == 4
    assert web.get("/api/v1/tasks?args=a").fields == ["args"]
    web.post("/api/v1/queues/default/purge")


def test_what_is_found_by_arguments_and_parent_is_cancelled_and_replayed_all_at_once(web: Web, work: Work) -> None:
    later = {"type": "add", "delay": 3600}
    mine, others = ([web.post("/api/v1/tasks", {**later, "args": [a]}).json["id"] for _ in range(2)] for a in (1, 2))
    child = web.post("/api/v1/tasks", {**later, "args": [1], "headers": {"parent_id": mine[0]}}).json["id"]

    def cancelled(filter: str, **more: bool) -> int:
        return int(web.post("/api/v1/tasks/cancel", {"filter": filter, **more}).json["number"])

    web.post("/api/v1/tasks", {"type": "log_in", "delay": 3600, "args": ["ann", "hunter2"]})
    (hidden,) = web.get("/api/v1/tasks?type=log_in").json["tasks"]
    assert hidden["call"] == 'user="ann", password="***"'
    assert cancelled("args.password:hunter2", dry_run=True) == 0, "what is hidden cannot be guessed"
    assert cancelled("args.user:ann args.password:hunter2") == 0
    assert cancelled("args.user:ann") == 1
    assert cancelled("args.a:1 args.b:0", dry_run=True) == 0, "it was not said in the call"
    assert cancelled("type:add args.a:1", dry_run=True) == 3
    assert cancelled(f"parent:{mine[0]}") == 1
    assert cancelled("args.a:1") == 2
    assert web.get(f"/api/v1/tasks/{child}").json["status"] == "cancelled"
    assert cancelled("all") == len(others)

    work()
    for text in ("one", "two"):
        web.task("fail", text)
    eventually(lambda: len(web.get("/api/v1/dead").json["dead"]) == 2, "both have died")
    assert len(web.get("/api/v1/dead?args=text:one").json["dead"]) == 1
    assert web.post("/api/v1/dead/replay", {"args": ["text:two"], "dry_run": True}).json["number"] == 1
    assert web.post("/api/v1/dead/purge", {"parent": "nobody"}).json["number"] == 0
    assert web.post("/api/v1/dead/purge", {"args": ["text:one"]}).json["number"] == 1
    assert web.post("/api/v1/dead/purge", {"args": ["text:two"], "ids": ["x"]}).fields == ["args"]
    web.post("/api/v1/dead/purge", {"type": "log_in", "args": ["user:ann", "password:hunter2"]})
    said = web.get("/api/v1/actions").json["actions"][0]["said"]
    assert said == '{"type":"log_in","args":["user:ann","password:***"]}'


def test_what_happened_lately_outlives_the_workers(web: Web, work: Work) -> None:
    host = work()
    web.task("add", 1)
    web.task("fail", text="no")
    web.post("/api/v1/tasks", {"type": "add", "args": [1], "delay": 3600})

    def ended() -> bool:
        totals = web.get("/api/v1/stats").json["totals"]
        return bool(totals["completed"] == totals["dead"] == 1)

    eventually(ended, "both have ended")
    assert host.terminate() == 0
    for range, slots in (("5m", 30), ("1h", 60), ("24h", 96), ("7d", 84)):

        def told(path: str = f"/api/v1/history?range={range}") -> bool:
            return bool(web.get(path).json["attempts"] == 2)

        eventually(told, "it has told how long they took before it ended")
        found = web.get(f"/api/v1/history?range={range}").json
        totals = {name: number for name, number in found["totals"].items() if number}
        assert totals == {"enqueued": 3, "completed": 1, "dead": 1}
        assert (len(found["slots"]), sum(slot["completed"] for slot in found["slots"])) == (slots, 1)
        types = {one["type"]: (one["success"], one["failed"]) for one in found["types"]}
        assert types == {"add": (1, 0), "fail": (0, 1)}
        assert 0 < found["p50"] <= found["p99"] < 30
    assert web.get("/api/v1/history?range=2h").fields == ["range"]


def test_what_has_failed_is_found_by_its_error_beside_all_else_and_grouped_by_where_it_was_raised(
    web: Web, work: Work
) -> None:
    work()
    first, other = web.task("fail", text="one"), web.task("fail", text="two", kind="LookupError")
    eventually(lambda: len(web.get("/api/v1/dead").json["dead"]) == 2, "both have died")

    def found(query: str) -> list[str]:
        return [task["id"] for task in web.get(f"/api/v1/tasks?{query}").json["tasks"]]

    assert found("state=dead&error=one&args=text:one&type=fail&since=1h") == [first]
    assert found("error=%3DLookupError") == [other]
    assert found("error=%3DError") == found("error=one&args=text:two") == found("state=dead&older_than=1h") == []
    groups = web.get("/api/v1/dead/groups").json["groups"]
    assert {(one["error"], one["number"]) for one in groups} == {("ValueError", 1), ("LookupError", 1)}
    frame = groups[0]["frame"]
    assert frame.startswith("apps/web.py:")
    assert frame.endswith(" in fail")
    for chosen, number in (
        ({"frame": frame}, 2), ({"frame": "-"}, 0), ({"error": "=ValueError", "since": "1h"}, 1), ({"since": 0.001}, 0),
    ):  # fmt: skip
        assert web.post("/api/v1/dead/purge", {**chosen, "dry_run": True}).json["number"] == number


def test_completed_tasks_of_a_type_with_a_history_are_listed_and_found_also_without_their_result(
    web: Web, work: Work, room: Room
) -> None:
    work()
    id, other = web.task("echo", {"a": 1}), web.task("add", 1)
    eventually(lambda: web.get("/api/v1/stats").json["totals"]["completed"] == 2, "both have ended")
    assert {one["id"] for one in web.get("/api/v1/tasks?state=completed").json["tasks"]} == {id, other}
    (found,) = web.get("/api/v1/tasks?type=echo&since=10m&args=value:%7B%22a%22%3A%201%7D").json["tasks"]
    assert (found["id"], found["state"], found["type"], found["attempt"]) == (id, "completed", "echo", 1)
    assert found["ran_s"] < found["finished_at_ms"]
    assert found["call"] == 'value={"a": 1}'
    assert web.get(f"/api/v1/tasks/{id}").json["names"] == ["value"]
    assert web.get(f"/api/v1/tasks/{other}").json["type"] == "add", "the last ones of a queue are known"
    assert found["worker"]
    (last,) = web.get("/api/v1/tasks?state=completed&type=add&since=10m").json["tasks"]
    assert (last["id"], last["worker"], "attempt" in last) == (other, found["worker"], False)
    assert web.as_(OPERATE).ask("DELETE", "/api/v1/history/echo").status == 403
    room.redis.delete(room.key("SHELVES"), room.key("LATEST"), *room.redis.keys("*:shelf:*"))
    shown = web.get(f"/api/v1/tasks/{id}").json
    assert (shown["status"], shown["args"], shown["worker"]) == ("completed", [{"a": 1}], found["worker"])
    assert web.get(f"/api/v1/tasks/{other}").status == 404
    assert {one["type"]: one["history"] for one in web.get("/api/v1/types").json["types"]}["echo"] == "1 h"
    assert web.ask("DELETE", "/api/v1/history/echo").json["number"] == 1
    assert web.get("/api/v1/tasks?state=completed&type=echo").json["tasks"] == []


def test_the_overview_shows_what_is_there(web: Web, work: Work, room: Room) -> None:
    work()
    web.post("/api/v1/pauses", {"queue": "default"})
    web.task("fail", text="no")
    web.task("add", 1)
    mail = Room(room.url, room.app, "mail")
    mail.enqueue("nobody-knows-it")
    mail.close()

    def whole() -> bool:
        now = web.get("/api/v1/overview").json
        return bool(now["hosts"] and now["groups"] and now["oldest"] and now["schedules"])

    eventually(whole, "host, dead letter, waiting task and schedule are shown")
    found = web.get("/api/v1/overview").json
    assert (found["groups"][0]["type"], found["groups"][0]["error"]) == ("fail", "ValueError")
    assert [one["name"] for one in found["schedules"]] == ["hourly"]
    assert [one["queue"] for one in found["pauses"]] == ["default"]
    assert list(found["oldest"]) == ["mail"], "what is paused cannot run, and has no age"
    web.post("/api/v1/pauses/resume", {"queue": "default"})


def test_many_tabs_that_show_the_same_cost_the_broker_what_one_does(web: Web, room: Room, work: Work) -> None:
    work()
    id = web.task("add", 1)
    pages = [
        "overview", "history?range=5m", "queues", "pauses", "limits", "schedules", "schedules/hourly", "actions",
        f"tasks/{id}", f"tasks/{id}/why",
    ]  # fmt: skip
    eventually(lambda: web.get("/api/v1/schedules/hourly").status == 200, "the worker has told its schedule")

    def cost(tabs: int) -> int:
        before = commands()
        for _ in range(tabs):
            for page in pages:
                assert web.get(f"/api/v1/{page}", SHARED).status == 200, page
        return commands() - before

    def commands() -> int:
        return sum(room.redis.info("commandstats")[f"cmdstat_{name}"]["calls"] for name in ("evalsha", "smembers"))

    one = cost(1)
    assert one > len(pages)
    assert cost(20) < 3 * one, "as often as its time is over"


def test_whoever_waits_for_an_answer_that_fails_is_answered_all_the_same() -> None:
    calls: list[int] = []

    async def api(_scope: Any, _receive: Any, send: Any) -> None:
        calls.append(len(calls))
        await send({"type": "http.response.start", "status": 200})
        await asyncio.sleep(0)
        if len(calls) == 1:
            raise ConnectionError
        await send({"type": "http.response.body", "body": b"found"})

    async def asked(alike: Alike) -> list[Any]:
        sent: list[Any] = []
        scope = {
            "type": "http", "method": "GET", "path": "/api/v1/queues", "headers": [(b"cache-control", b"max-age=3")],
            "state": {"distq_key": NOBODY},
        }  # fmt: skip

        async def send(message: Any) -> None:
            sent.append(message)

        await alike(scope, None, send)  # type: ignore[arg-type]
        return sent

    async def main() -> None:
        alike = Alike(api)
        both: list[Any] = await asyncio.gather(asked(alike), asked(alike), return_exceptions=True)
        assert isinstance(both[0], ConnectionError)
        assert both[1][-1]["body"] == b"found"
        assert calls == [0, 1]

    asyncio.run(main())


def test_what_is_asked_for_anew_is_not_what_others_were_told_before(web: Web) -> None:
    def is_paused(headers: dict[str, str]) -> bool:
        return bool(web.get("/api/v1/pauses", headers).json["pauses"])

    anew = {"Cache-Control": "max-age=0"}
    assert not is_paused(anew)
    web.post("/api/v1/pauses", {"queue": "default"})
    assert is_paused({})
    assert is_paused(anew)
    assert is_paused(SHARED), "and others know it, too"
    web.post("/api/v1/pauses/resume", {"queue": "default"})
    assert web.get("/api/v1/actions", SHARED).status == 200
    assert web.as_(READ).get("/api/v1/actions", SHARED).status == 403, "of another level"
