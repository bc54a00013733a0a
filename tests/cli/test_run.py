"""`distq run`: what is refused and how, and what it says when it is truly ready."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Iterator

import pytest
import redis

from distq.cli.run import current_folder
from tests.cli.conftest import STARTED, Shell
from tests.support.eventually import eventually
from tests.support.room import Room

NOBODY = "redis://127.0.0.1:1/0"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nowhere:app", "no module 'nowhere' in"),
        ("myap:app", "(did you mean `myapp`?)"),
        ("myapp.py", "is no module:app; did you mean 'myapp:app'?"),
        ("./myapp.py:app", "did you mean 'myapp:app'?"),
        ("src/shop/tasks.py:queue", "did you mean 'src.shop.tasks:queue'?"),
        (":app", "did you mean 'module:app'?"),
        ("myapp:ap", "module myapp has no 'ap' (did you mean `app`?)"),
        ("myapp:celery", "module myapp has no 'celery' (it has: app)"),
        ("myapp:add", "myapp:add is of type Task, not a Distq application"),
        ("myapp:app.nothing", "module myapp has no 'app.nothing'"),
        ("os:path", "os:path is of type module, not a Distq application"),
    ],
)
def test_a_target_that_is_none_is_refused_with_what_was_meant(outside: Shell, target: str, said: str) -> None:
    done = outside("run", target, "--metrics-port", "0", code=2)
    assert said in done.err
    assert done.err.startswith("error: ")
    assert done.out == ""


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import nonsense_that_is_not_there", r"broken cannot be imported: No module named 'nonsense_.*broken\.py:1\)"),
        ("\ndef f(:\n  pass", r"broken cannot be imported: SyntaxError: invalid syntax \(.*broken\.py:2\)"),
        ("import sys\nsys.exit('bye')", r"broken called sys\.exit\('bye'\) while it was imported \(.*broken\.py:2\)"),
        ("x = 1\nint('x')", r"cannot be imported: ValueError: invalid literal .* \(.*broken\.py:2\)"),
        ("import json\n\njson.loads('{')", r"cannot be imported: JSONDecodeError: .* \(.*broken\.py:3\)"),
        ("import os\nos._exit(3)", r"the application could not be loaded: its process exited with code 3"),
        (
            "from distq import Distq\napp = Distq('x')\nfor _ in range(2):\n    app.task(type='mail')(lambda: 1)",
            r"broken: type 'mail' is declared twice: .* \(.*broken\.py:4\)",
        ),
        (
            "from distq import Distq\napp = Distq('x')\n@app.task(retrys=3)\ndef f(): ...",
            r"has no option `retrys` \(did you mean `retries`\?\).* \(.*broken\.py:3\)",
        ),
        ("from distq import Distq\napp = Distq('x', 'http://x')", r"'http://x' is no address of a broker.*py:2\)"),
    ],
    ids=["import", "syntax", "exit", "error", "library", "_exit", "duplicate", "option", "broker"],
)
def test_a_module_that_cannot_be_imported_is_one_line_with_the_place(outside: Shell, source: str, said: str) -> None:
    outside.write("broken.py", source)
    done = outside("run", "broken:app", "--metrics-port", "0", code=2)
    assert re.search(said, done.err), done.err
    assert len(done.err.splitlines()) == 1


def test_the_traceback_of_an_import_is_there_for_who_wants_it(outside: Shell) -> None:
    outside.write("broken.py", "def deep():\n    int('x')\ndeep()")
    process = outside.start("run", "broken:app", "--metrics-port", "0", "--log-level", "debug")
    assert process.ended() == 2
    assert "in deep" in process.err
    process.may_show_a_traceback = True


def test_a_package_that_is_there_without_the_module_is_named_in_full(outside: Shell) -> None:
    outside.write("pkg/__init__.py", "")
    assert "no module 'pkg.tasks'" in outside("run", "pkg.tasks:app", "--metrics-port", "0", code=2).err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--proceses", "2"], "error: no such option: --proceses (did you mean `--processes`?)"),
        (["-p", "two"], "error: --processes 'two': give a whole number from 1 to 1024"),
        (["-p", "0"], "error: --processes '0': give a whole number from 1 to 1024"),
        (["-p", "1025"], "error: --processes '1025': give"),
        (["--lease", "soon"], "error: --lease 'soon' is no duration: give 500ms, 10s, 5m, 2h or 7d"),
        (["--lease", "0.5s"], "error: --lease 0.5s: give a time from 1s to 1d"),
        (["--lease", "2d"], "error: --lease 2d: give a time from 1s to 1d"),
        (["--grace", "-1"], "error: --grace '-1' is no duration"),
        (["--max-deliveries", "0"], "error: --max-deliveries '0': give a whole number from 1 to 255"),
        (["--max-tasks-per-child", "0"], "error: --max-tasks-per-child '0': give a whole number from 1"),
        (["--max-memory-per-child", "512"], "error: --max-memory-per-child '512' is no size: give 512M or 2G"),
        (["--max-lifetime", "0s"], "error: --max-lifetime 0s: give a time above 0"),
        (["--metrics-port", "70000"], "error: --metrics-port '70000': give a whole number from 0 to 65535"),
        (["--log-level", "inof"], "error: --log-level inof: give one of DEBUG, INFO, WARNING, ERROR, CRITICAL (did"),
        (["--log-format", "jsn"], "error: --log-format jsn: give text or json (did you mean `json`?)"),
        (["-Q", "mial"], "error: queue 'mial' is not declared by myapp:app (did you mean `mail`?); there are: default"),
        (["-Q", "mail,,default"], "error: --queues 'mail,,default': give names with commas between"),
        (["--broker", "localhost:6379"], "error: broker 'localhost:6379' is no address of a broker: use redis://"),
        (["--broker", ""], "error: --broker is empty: give a value, or leave it out"),
        (["another"], "error: got unexpected extra argument"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_option_is_refused_with_its_name_and_value(outside: Shell, args: list[str], said: str) -> None:
    extra = [] if "--metrics-port" in args else ["--metrics-port", "0"]
    done = outside("run", "myapp:app", *extra, *args, code=2)
    assert done.err.startswith(said), done.err
    assert done.out == ""


def test_without_an_application_it_says_how_to_name_one(outside: Shell) -> None:
    assert "give it as module:app, e.g. myapp:app, or set $DISTQ_APP" in outside("run", code=2).err


def test_a_usage_error_says_where_to_read_on(outside: Shell) -> None:
    assert outside("run", "--nonsense", code=2).err.splitlines()[-1] == "hint: distq run --help"
    assert "did you mean 'enqueue'" in outside("enqeue", code=2).err.lower()


def test_a_current_folder_that_somebody_else_has_left_in_pwd_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who starts a service in another folder, as another user, may pass it on: it is gone there, or hidden."""
    monkeypatch.setenv("PWD", "/nowhere/here")
    assert current_folder() == os.getcwd()


def test_settings_can_come_from_the_environment(outside: Shell) -> None:
    said = outside("run", env={"DISTQ_APP": "myapp:app", "DISTQ_LEASE": "never"}, code=2)
    assert said.err.startswith("error: --lease 'never'")


# -- ports ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_given_metrics_port_that_is_taken_is_exit_code_4(distq: Shell, taken: int) -> None:
    done = distq("run", "myapp:app", "--metrics-port", str(taken), code=4)
    assert done.err.startswith(f"error: metrics port {taken}: Address already in use; give another --metrics-port")


def test_hosts_on_one_machine_take_the_next_free_default_port_and_name_it(distq: Shell) -> None:
    first = distq.start("run", "myapp:app", "-p", "1")
    first.until(STARTED)
    second = distq.start("run", "myapp:app", "-p", "1")
    second.until(STARTED)
    ports = [int(re.findall(r"^Metrics server listening on :(\d+)$", host.out, re.M)[0]) for host in (first, second)]
    assert 8080 <= ports[0] < ports[1]
    for port in ports:
        socket.create_connection(("127.0.0.1", port), 5).close()


# -- the broker -----------------------------------------------------------------------------------------------------


def test_without_a_broker_it_names_the_address_the_reason_and_what_to_do(outside: Shell) -> None:
    done = outside("run", "myapp:app", "--metrics-port", "0", "--broker", NOBODY, code=3)
    assert done.err.startswith(f"error: no broker at {NOBODY}: ")
    assert "Connection refused" in done.err
    assert "`distq dev` brings its own" in done.err
    assert done.out == ""


@pytest.mark.parametrize(
    "url",
    [
        "redis://ann:s3cret@127.0.0.1:1/0",
        "redis://:s3cret@127.0.0.1:1/0",
        "redis://127.0.0.1:1/0?password=s3cret",
        "redis://:s3cret/with#all?of@it@127.0.0.1:1/0",
        "rediss://ann:s3cret@127.0.0.1:1/0",
        "redis://ann:s3cret@127.0.0.1:nine/0",
        "http://ann:s3cret@127.0.0.1/",
    ],
)
def test_a_password_is_never_shown(outside: Shell, url: str) -> None:
    code = 2 if url.startswith("http") or "nine" in url or "#all" in url else 3
    for said in (
        outside("run", "myapp:app", "--metrics-port", "0", "--log-level", "debug", "--broker", url, code=code),
        outside("queues", "--app", "myapp:app", env={"DISTQ_BROKER": url}, code=code),
    ):
        assert "s3cret" not in said.err + said.out
        assert "***" in said.err


def test_a_broker_that_refuses_the_password_is_exit_code_3(outside: Shell, locked: str) -> None:
    done = outside("run", "myapp:app", "--metrics-port", "0", "--broker", locked, code=3)
    assert "no broker at" in done.err
    assert "Authentication" in done.err
    assert outside("queues", "--broker", locked, code=3).err.startswith("error: no broker at")


@pytest.fixture
def locked(url: str) -> Iterator[str]:
    """The address of the server while it wants a password."""
    with redis.Redis.from_url(url) as client:
        client.config_set("requirepass", "open")
        yield url
        client.config_set("requirepass", "")


SLOW = """
import time
from pathlib import Path

Path("importing").touch()
while not Path("go").exists():
    time.sleep(0.01)
from myapp import app
"""


# -- ready ----------------------------------------------------------------------------------------------------------


def test_it_says_that_it_is_ready_when_it_is_and_only_then(distq: Shell, shop: Room) -> None:
    distq.write("slow.py", SLOW)
    host = distq.start("run", "slow:app", "-p", "2", "--metrics-port", "18999")
    eventually((distq.folder / "importing").exists, "its template imports")
    assert host.out == ""
    distq.write("go", "")
    host.until(STARTED)
    assert host.out == f"Metrics server listening on :18999\n{STARTED}\n"
    assert shop.redis.zcard(shop.key("LEASES")) == 2, "both workers are registered"


def test_a_second_start_of_one_shop_serves_the_given_queues_only(distq: Shell, shop: Room, mail: Room) -> None:
    distq.host("-Q", "mail")
    assert mail.redis.zcard(mail.key("LEASES")) == 1
    assert shop.redis.zcard(shop.key("LEASES")) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_lets_it_finish_and_ends_with_0(distq: Shell, shop: Room, number: int) -> None:
    host = distq.host("--grace", "60s")
    id = distq("enqueue", "sleep", "0.5").out.strip()
    eventually(lambda: shop.look(id).state == "running", "it runs")
    host.send(number)
    assert host.ended() == 0
    assert shop.where(id) == "completed"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_second_signal_gives_back_what_runs(distq: Shell, shop: Room, number: int, code: int) -> None:
    host = distq.host("--grace", "60s")
    id = distq("enqueue", "sleep", "60").out.strip()
    eventually(lambda: shop.look(id).state == "running", "it runs")
    host.send(number)
    host.until("finishing what runs")
    host.send(number)
    assert host.ended() == code
    assert shop.where(id) == "queued"


def test_whoever_reads_its_output_may_go_away(distq: Shell, shop: Room) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    host = distq.start("run", "myapp:app", "-p", "1", "--metrics-port", "0", stdout=writer)
    os.close(writer)
    eventually(lambda: shop.redis.zcard(shop.key("LEASES")), "its worker is registered")
    assert distq("enqueue", "add", '{"a": 1, "b": 2}', "--wait").out == "3\n"
    assert host.end() == 0


def test_logs_are_lines_of_ours_whatever_an_error_says(distq: Shell) -> None:
    host = distq.host("--grace", "60s")
    distq("enqueue", "refuse", '"oh\\n2026-01-01 CRITICAL forged \\u001b[31mred\\u202e"', "--wait", code=1)
    host.until("forged")
    line = next(line for line in host.err.splitlines() if "forged" in line)
    assert line.split()[2] == "ERROR"
    assert r"\x1b[31mred\u202e" in line


def test_json_logs_are_objects(distq: Shell) -> None:
    host = distq.host("--log-format", "json")
    distq("enqueue", "refuse", '"no"', "--wait", code=1)
    host.until("dead")
    entries = [json.loads(line) for line in host.err.splitlines()]
    assert {"time", "level", "logger", "process", "message", "task_id", "type"} <= set(entries[-1])
