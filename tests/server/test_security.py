"""What an attacker tries over HTTP, and what happens then. Every route is asked for, as the application lists them."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from distq.server.api import ROUTERS
from distq.server.guard import HEALTH, SESSION
from distq.server.pages import OPEN
from distq.server.wire import MOST_LOOKS, Unread
from tests.server.conftest import ADMIN, KEYS, OPERATE, READ, Serve
from tests.support.eventually import eventually
from tests.support.host import Host
from tests.support.room import Room
from tests.support.web import Web, read_answer, status_of

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE")


def routes() -> Iterator[tuple[str, set[str]]]:
    """Path and methods of each, with something in place of what a path names."""
    for router, prefix in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            yield prefix + re.sub(r"\{\w+(:path)?\}", "x", route.path), set(route.methods or ())


PATHS = sorted({path for path, _ in routes()} - HEALTH - OPEN)
assert len(PATHS) > 10
TRICKS = [
    "//api/v1/tasks", "/api/v1/tasks/../queues", "/api/v1/%2e%2e/queues", "/API/V1/tasks", "/api/v1/tasks/", "/Enqueue",
    "/api/v1/tasks;x", "/api/v1//tasks", "/metrics", "/openapi.json", "/docs", "/redoc", "/static/x", "/api/v1/events",
    "/livez/../api/v1/tasks", "/livez/", "//livez", "/livez%2f..%2fapi/v1/queues", "/.env",
    "/api/openapi.json?key=" + ADMIN,
]  # fmt: skip


def request(method: str, path: str, *lines: bytes, body: bytes = b"") -> bytes:
    head = [b"%b %b HTTP/1.1" % (method.encode(), path.encode()), b"Host: 127.0.0.1", b"Connection: close", *lines]
    return b"\r\n".join([*head, b"Content-Length: %d" % len(body), b"", body])


WRONG_KEYS: list[tuple[bytes, ...]] = [
    (),
    (b"X-API-Key:",),
    (b"X-API-Key: null",),
    (b"X-API-Key: wrong",),
    (b"X-API-Key: %b x" % ADMIN.encode(),),
    (b"X-API-Key: %b" % ADMIN.upper().encode(),),
    (b"X-API-Key: %b" % ADMIN[:-1].encode(),),
    (b"X-API-Key: %b" % ADMIN.encode(), b"X-API-Key: %b" % ADMIN.encode()),
    (b"X-API-Key: %b" % ADMIN.encode(), b"X-API-Key: wrong"),
    (b"Authorization: Bearer %b" % ADMIN.encode(),),
    (b"authorization: bearer",),
    (b"Authorization: X-API-Key %b" % ADMIN.encode(),),
    (b"Cookie: X-API-Key=%b" % ADMIN.encode(),),
    (b"X-API-Key: \xff\xfe\xc3\xa9",),
    (b"X-API-Key: " + b"k" * 50_000,),
    (b"X-HTTP-Method-Override: GET", b"X-Original-URL: /livez", b"X-Forwarded-For: 127.0.0.1"),
]


# -- keys --------------------------------------------------------------------------------------------------------------


def test_without_a_valid_key_every_route_and_method_gives_the_same_refusal(web: Web) -> None:
    bodies: dict[bytes, str] = {}
    with ExitStack() as stack:
        wire = stack.enter_context(socket.create_connection(("127.0.0.1", web.port)))
        for path in [*PATHS, *TRICKS, *sorted(OPEN)]:
            for method in METHODS:
                if path in {*OPEN, "/api/v1/session"} and method == "GET":
                    continue
                wire.sendall(request(method, path))
                answer = read_answer(wire)
                assert status_of(answer) == 401, (method, path, answer)
                wire.close()
                wire = stack.enter_context(socket.create_connection(("127.0.0.1", web.port)))
                if answer.partition(b"\r\n\r\n")[2]:
                    bodies[answer.partition(b"\r\n\r\n")[2]] = path
    assert len(bodies) == 2, "one as JSON, and one in the first system's words"
    assert b"Unauthorized\n" in bodies


def test_no_wrong_key_is_taken_for_a_right_one(web: Web) -> None:
    found = set()
    for lines in WRONG_KEYS:
        for path in ("/api/v1/queues", f"/api/v1/queues?key={ADMIN}&X-API-Key={ADMIN}&api_key={ADMIN}"):
            answer = web.bytes(request("GET", path, *lines))
            assert status_of(answer) == 401, (lines, answer)
            found.add(answer.partition(b"\r\n\r\n")[2])
    assert len(found) == 1
    for line in (b"X-API-Key: a\x00b", b"X-API-Key: %b\x00" % ADMIN.encode(), b"X-API-Key: a\rb"):
        assert status_of(web.bytes(request("GET", "/api/v1/queues", line))) in (400, 401)
    assert status_of(web.bytes(request("GET", "/api/v1/queues", b"X-API-Key: " + b"k" * (1 << 20)))) in (401, 431)
    assert web.get("/api/v1/queues").status == 200


def test_health_needs_no_key_and_tells_nothing(web: Web) -> None:
    for path in sorted(HEALTH):
        answer = web.as_(None).get(path)
        assert (answer.status, answer.text) == (200, "ok\n")
        assert "server" not in answer.headers


def test_each_level_may_do_what_it_says(web: Web) -> None:
    reader, shop = web.as_(READ), web.as_(OPERATE)
    assert reader.get("/api/v1/queues").status == shop.get("/api/v1/queues").status == 200
    assert reader.get("/api/openapi.json").status == 200
    for path in PATHS:
        if path != SESSION and any("POST" in methods for found, methods in routes() if found == path):
            assert reader.post(path, {}).status == 403, path
    assert shop.post("/api/v1/tasks", {"type": "add", "args": [1]}).status == 201
    assert shop.post("/api/v1/queues/default/purge", {}).status == 403
    assert web.post("/api/v1/queues/default/purge", {}).json == {"number": 1, "dry_run": False}


def test_many_wrong_keys_hold_nobody_up(web: Web) -> None:
    with ExitStack() as stack:
        wires = [stack.enter_context(web.wire()) for _ in range(100)]
        for _ in range(3):
            for wire in wires:
                wire.sendall(request("GET", "/api/v1/queues", b"X-API-Key: wrong"))
            began = time.monotonic()
            assert web.get("/api/v1/queues").status == 200
            assert time.monotonic() - began < 5
            for wire in wires:
                read_answer(wire)
                wire.close()
            wires = [stack.enter_context(web.wire()) for _ in range(100)]


SETTINGS: list[tuple[dict[str, str], str]] = [
    ({"API_KEY": ""}, "$API_KEY is empty"),
    ({"API_KEY": "  "}, "$API_KEY is empty"),
    ({"API_KEY": "your-secret-key"}, "$API_KEY is a sample"),
    ({"API_KEY": "Secret"}, "$API_KEY is a sample"),
    ({"API_KEY": "k\u00e9y-with-more"}, "printable ASCII"),
    ({"DISTQ_API_KEYS": ""}, "holds no key"),
    ({"DISTQ_API_KEYS": "shop operate short"}, "fewer than 16 characters"),
    ({"DISTQ_API_KEYS": "shop operator " + OPERATE}, "did you mean `operate`?"),
    ({"DISTQ_API_KEYS": OPERATE}, "name level key"),
    ({"DISTQ_API_KEYS": f"a read {READ}, a read {OPERATE}"}, "the same name"),
    ({"DISTQ_API_KEYS": f"a read {READ}, b read {READ}"}, "are the same"),
    ({"DISTQ_API_KEYS": f"a read {READ} fast"}, "is no rate"),
    ({"DISTQ_API_KEYS_FILE": "/nowhere/keys"}, "cannot be read"),
]


def refused(tmp_path: Path, url: str, *options: str, more: dict[str, str]) -> str:
    """What a server says that does not start."""
    command = ["server", "tests.support.apps.web:app", "--port", "0", *options]
    host = Host(command, tmp_path / "log", tmp_path / "journal", more={"DISTQ_BROKER": url} | more)
    assert host.wait() == 2, host.log()
    assert not any(secret in host.log() for secret in (READ, OPERATE, ADMIN))
    return host.log()


@pytest.mark.parametrize(("more", "said"), SETTINGS)
def test_a_server_with_a_key_that_is_none_does_not_start(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, str], said: str
) -> None:
    from distq.errors import ConfigurationError
    from distq.server.access import read_keys

    with pytest.raises(ConfigurationError) as caught:
        read_keys(more)
    assert said in str(caught.value)
    assert not any(secret in str(caught.value) for secret in (READ, OPERATE, ADMIN))


def test_a_server_without_a_key_serves_this_machine_alone(serve: Serve, room: Room, tmp_path: Path) -> None:
    assert "would let everybody in" in refused(tmp_path, room.url, "--host", "0.0.0.0", more={})
    assert "$API_KEY is empty" in refused(tmp_path, room.url, more={"API_KEY": ""})
    web = serve(more={})
    assert "No API key is configured: only this machine is served" in web.host.log()
    assert web.get("/api/v1/queues").status == 200
    assert web.post("/api/v1/tasks", {"type": "add", "args": [1]}).status == 201
    for lines in (b"X-Forwarded-For: 127.0.0.1", b"Forwarded: for=127.0.0.1", b"X-Real-IP: 127.0.0.1"):
        assert status_of(web.bytes(request("GET", "/api/v1/queues", lines))) == 403
    for host in (b"evil.example", b"evil.example:80", b"127.0.0.1.evil.example", b"localhost@evil.example", b""):
        raw = b"GET /api/v1/queues HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % host
        assert status_of(web.bytes(raw)) == 400, host
    port = web.port
    for host in (b"localhost", b"127.0.0.1:%d" % port, b"[::1]:%d" % port, b"LOCALHOST:%d" % port):
        raw = b"GET /api/v1/queues HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % host
        assert status_of(web.bytes(raw)) == 200, host


def test_keys_are_in_no_log_and_in_no_list_of_processes(serve: Serve, tmp_path: Path) -> None:
    place = tmp_path / "keys"
    place.write_text(f"# those of the shop\nshop operate {OPERATE} 100/s burst 50\n\nboss admin {ADMIN}\n")
    web = serve("--keys", str(place), "--log-level", "DEBUG", more={"API_KEY": READ})
    assert web.get("/api/v1/queues").status == 200
    assert web.as_(READ).post("/api/v1/queues/default/purge", {}).status == 200, "$API_KEY may do all"
    assert web.as_("wrong-key-of-somebody").get("/api/v1/queues").status == 401
    assert "API keys: shop, boss, API_KEY" in web.host.log()
    command = Path(f"/proc/{web.host.process.pid}/cmdline")
    said = web.host.log() + (command.read_text() if command.exists() else "")
    assert not any(secret in said for secret in (READ, OPERATE, ADMIN, "wrong-key-of-somebody"))


# -- other sites' pages ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_key", [True, False])
def test_no_page_of_another_site_can_do_anything(serve: Serve, room: Room, with_key: bool) -> None:
    web = serve(more={"DISTQ_API_KEYS": KEYS} if with_key else {})
    key = b"X-API-Key: %b" % ADMIN.encode() if with_key else b"Accept: */*"
    body = b'{"type":"add","payload":1}'
    for lines in (
        (b"Origin: https://evil.example",),
        (b"Origin: null",),
        (b"Origin: http://127.0.0.1:1",),
        (b"Sec-Fetch-Site: cross-site",),
        (b"Sec-Fetch-Site: same-site",),
    ):
        for kind in (b"text/plain", b"application/x-www-form-urlencoded", b"application/json"):
            for method, path in (("POST", "/enqueue"), ("POST", "/api/v1/tasks"), ("GET", "/api/v1/queues")):
                raw = request(method, path, key, *lines, b"Content-Type: " + kind, body=body)
                answer = web.bytes(raw)
                assert status_of(answer) == 403, (lines, kind, path, answer)
                assert b"access-control" not in answer.lower()
        preflight = request("OPTIONS", "/enqueue", *lines, b"Access-Control-Request-Method: POST")
        answer = web.bytes(preflight)
        assert status_of(answer) in (401, 403)
        assert b"access-control" not in answer.lower()
    own = request("POST", "/enqueue", key, b"Origin: http://127.0.0.1", b"Sec-Fetch-Site: same-origin", body=body)
    assert status_of(web.bytes(own)) == 200
    assert room.redis.llen(room.key("QUEUE", "default")) == 1


def test_reading_changes_nothing_and_forms_are_not_understood(web: Web, room: Room) -> None:
    id = web.task("add", 1)
    for path in PATHS:
        if path != "/api/v1/events":  # which does not end
            web.get(path.replace("/x", f"/{id}"))
    assert room.redis.llen(room.key("QUEUE", "default")) == 1
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        for path in (
            "/api/v1/tasks",
            "/api/v1/tasks/bulk",
            "/api/v1/queues/default/purge",
            f"/api/v1/tasks/{id}/cancel",
        ):
            assert web.ask("POST", path, raw=b"{}", headers={"Content-Type": kind}).status == 415


def test_answers_are_not_guessed_at_nor_kept(web: Web) -> None:
    for answer in (web.get("/api/v1/queues"), web.get("/nope"), web.as_(None).get("/api/v1/queues"), web.get("/livez")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers


# -- sizes and slowness ------------------------------------------------------------------------------------------------


BODIES: list[tuple[tuple[bytes, ...], bytes, set[int]]] = [
    ((b"Content-Length: 100000000",), b"", {413}),
    ((b"Content-Length: -1",), b"", {400}),
    ((b"Content-Length: 5", b"Content-Length: 6"), b"{}", {400}),
    ((b"Content-Length: x",), b"", {400}),
    ((b"Content-Length: 2", b"Transfer-Encoding: chunked"), b"2\r\n{}\r\n0\r\n\r\n", {400}),
    ((b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), b"2\r\n{}\r\n0\r\n\r\n", {400}),
    ((b"Content-Length: 2", b"Content-Encoding: gzip"), b"\x1f\x8b", {415}),
    ((b"Content-Length: 2", b"Content-Type: multipart/form-data"), b"{}", {415}),
]


def test_bodies_that_are_too_large_or_odd_are_refused_by_their_heads(web: Web) -> None:
    for lines, body, statuses in BODIES:
        for key in (b"X-API-Key: %b" % ADMIN.encode(),):
            head = [b"POST /api/v1/tasks HTTP/1.1", b"Host: x", b"Content-Type: application/json", key]
            head = [line for line in head if not any(line.split(b":")[0] == other.split(b":")[0] for other in lines)]
            answer = web.bytes(b"\r\n".join([*head, *lines, b"", body]))
            assert status_of(answer) in statuses, (lines, answer)


def test_a_body_without_a_length_ends_at_the_limit(web: Web) -> None:
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with web.wire() as wire:
        wire.sendall(
            b"POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\nX-API-Key: %b\r\nTransfer-Encoding: chunked\r\n\r\n"
            % ADMIN.encode()
        )
        try:
            for _ in range(400):
                wire.sendall(chunk)
        except OSError:
            pass
        assert status_of(read_answer(wire)) in (413, 0), "it was told so, or cut off"
    assert web.get("/livez").status == 200


MANY_PARTS = [
    b'{"type":"echo","args":[[' + b",".join([b"{}"] * 2_700_000) + b"]]}",
    b'{"type":"echo","args":[[' + b",".join([b"[]"] * 2_700_000) + b"]]}",
    b'{"type":"echo","kwargs":{' + b",".join(b'"k%d":1' % n for n in range(600_000)) + b"}}",
]


def test_bodies_of_very_many_parts_are_refused_before_they_are_made(web: Web) -> None:
    """To make and to drop them takes many seconds, in which nobody else would be served; also not to note them."""
    json = {"Content-Type": "application/json"}
    for path in ("/api/v1/tasks", "/api/v1/tasks/bulk", "/enqueue", "/api/v1/pauses"):
        for raw in MANY_PARTS:
            assert web.ask("POST", path, raw=raw, headers=json).status == 413


def memory_kb(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1])


def test_slow_clients_are_cut_off_and_cost_nobody_else_anything(web: Web) -> None:
    linux = Path("/proc/self/status").exists()
    for _ in range(20):
        web.get("/api/v1/queues")
    before = memory_kb(web.host.process.pid) if linux else 0
    key = b"X-API-Key: %b\r\n" % ADMIN.encode()
    slow = [
        b"POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\n" + key + b"Content-Length: 100000\r\n\r\n{",
        b"POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\n" + key + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{",
        b"POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        b"",
    ]
    with ExitStack() as stack:
        began = time.monotonic()
        wires = [stack.enter_context(web.wire()) for _ in range(200)]
        for number, wire in enumerate(wires):
            wire.sendall(slow[number % len(slow)])
        asked = time.monotonic()
        assert web.post("/api/v1/tasks", {"type": "add", "args": [1]}).status == 201
        assert time.monotonic() - asked < 5
        answers = [read_answer(wire) for wire in wires]
        assert {status_of(answer) for answer in answers} == {408}
        assert time.monotonic() - began < 20
    if linux:
        assert memory_kb(web.host.process.pid) - before < 20 * 1024


def test_a_flood_of_requests_on_one_connection_is_ended(web: Web) -> None:
    one = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    with web.wire() as wire:
        wire.sendall(one * 20)
        wire.settimeout(10)
        found = b""
        while found.count(b"HTTP/1.1 200") < 20:
            found += wire.recv(65536)
    with ExitStack() as stack:
        wires = [stack.enter_context(web.wire()) for _ in range(20)]
        for wire in wires:
            with suppress(ConnectionError):
                wire.sendall(one * 5000)
        assert web.get("/api/v1/queues").status == 200
        for wire in wires:
            with suppress(ConnectionError):
                while wire.recv(65536):
                    pass


class Stuck:
    """A connection, as far as who does not read is concerned."""

    def __init__(self, *sizes: int) -> None:
        self.transport, self._sizes, self.is_gone = self, list(sizes), False

    def get_write_buffer_size(self) -> int:
        return self._sizes.pop(0)

    def abort(self) -> None:
        self.is_gone = True


def test_who_takes_nothing_of_an_answer_for_a_minute_is_cut_off() -> None:
    unread, stuck, slow, quick = Unread(), Stuck(*[9] * 9), Stuck(9, 9, 9, 8, 8, 8, 7), Stuck(9, 0, 9, 9, 9, 0, 9)
    for _ in range(MOST_LOOKS):
        unread.look([stuck, slow, quick])
        assert not stuck.is_gone
    for _ in range(3):
        unread.look([stuck, slow, quick])
    assert (stuck.is_gone, slow.is_gone, quick.is_gone) == (True, False, False)


# -- what answers show -------------------------------------------------------------------------------------------------


def test_an_error_shows_nothing_of_the_inside(serve: Serve, room: Room) -> None:
    address = "redis://user:pa55word@127.0.0.1:1/0"
    web = serve(broker=address, more={"API_KEY": READ}, key=READ)
    for answer in (
        web.get("/api/v1/queues"),
        web.post("/api/v1/tasks", {"type": "add", "args": [1]}),
        web.get("/result?id=x"),
    ):
        assert answer.status in (500, 503)
        assert not re.search(r"pa55word|127\.0\.0\.1|redis://|Traceback|File \"", answer.text), answer
    assert "pa55word" not in web.host.log()


def test_what_is_in_the_broker_is_shown_as_data(web: Web, room: Room) -> None:
    """Raw bytes that no release of ours has written, and text that would do something elsewhere."""
    evil = "<script>alert(1)</script>\u2028\x1b[31m\r\nSet-Cookie: x=1"
    id = web.task("echo", evil)
    shown = web.get(f"/api/v1/tasks/{id}")
    assert shown.json["args"] == [evil]
    assert shown.headers["content-type"] == "application/json"
    assert b"\x1b" not in shown.body
    assert "set-cookie" not in shown.headers
    room.redis.hset(room.key("TASKS"), "raw", b"\x80\x04\x95pickle")
    room.redis.rpush(room.key("QUEUE", "default"), "raw")
    assert "corrupt" in web.get("/api/v1/tasks/raw").json
    room.redis.flushall()


def test_names_in_a_path_reach_no_other_key(web: Web, room: Room) -> None:
    for name in ("*", "{}", "..", "a:b", "app/default}:tasks", "%00", "%0d%0aX:%20y", "x" * 5000, "../../secret"):
        for path in (f"/api/v1/queues/{name}", f"/api/v1/tasks/{name}", f"/api/v1/results/{name}"):
            answer = web.get(path)
            assert answer.status in (400, 404), (path, answer)


def test_a_server_ends_in_order_when_it_is_told_to(serve: Serve) -> None:
    web = serve()
    assert web.get("/api/v1/queues").status == 200
    assert web.host.terminate() == 0
    taken = serve()
    other = Host(
        ["server", "tests.support.apps.web:app", "--port", str(taken.port)],
        Path(str(taken.host._log_place) + "x"), Path("x"),
    )  # fmt: skip
    assert other.wait() == 4
    eventually(lambda: "give another --port" in other.log(), "it says why")
