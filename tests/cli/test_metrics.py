"""The metrics port of a real host: its families, their labels, health, and who can hold it up."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from distq.broker import verbs
from distq.embedded import EmbeddedBroker
from tests.cli.conftest import STARTED, Process, Shell, Warm, shell_in
from tests.support.eventually import eventually
from tests.support.host import ROOT, children_of
from tests.support.ports import free_port
from tests.support.room import Room

QUIET = "not ready: it was told to start nothing (SIGTSTP)\n"


class Port:
    """The metrics port of a host."""

    def __init__(self, host: Process, number: int = 0) -> None:
        self.host = host
        self.number = number or int(re.findall(r"listening on :(\d+)", host.out)[0])

    def get(self, path: str, within: float = 30, at: str = "127.0.0.1") -> tuple[int, str, str]:
        connection = HTTPConnection(at, self.number, timeout=within)
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, str(answer.headers["Content-Type"]), text

    def samples(self) -> dict[str, float]:
        """All samples by name and labels, as they are written."""
        lines = [line for line in self.get("/metrics")[2].splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


@pytest.fixture
def port(distq: Shell) -> Port:
    """Of a host of one's own."""
    return opened(distq)


@pytest.fixture(scope="module")
def calm(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell and a broker for tests that leave the host as it is."""
    with EmbeddedBroker() as broker, shell_in(tmp_path_factory.mktemp("calm"), warm) as shell:
        shell.environ["DISTQ_BROKER"] = broker.url
        yield shell


@pytest.fixture(scope="module")
def common(calm: Shell) -> Port:
    """Of a host that several tests have in common."""
    return opened(calm)


def opened(shell: Shell) -> Port:
    host = shell.start("run", "myapp:app", "-p", "2")
    host.until(STARTED)
    return Port(host)


def test_the_families_count_what_was_done(distq: Shell, port: Port, shop: Room) -> None:
    for number in range(3):
        distq("enqueue", "add", f'{{"a": {number}, "b": 1}}', "--wait")
    distq("enqueue", "send_email", '"x"', "--app", "myapp:app", "--wait", code=1)
    distq("enqueue", "sleep", "300", "--id", "held")
    eventually(lambda: shop.look("held").state == "running", "it runs")
    shop.enqueue("nobody-knows-it")
    shop.enqueue("add", delay=3_600_000)
    distq("enqueue", "add", "1", "-Q", "mail", "--delay", "1h")
    samples = port.samples()
    counted = {name: value for name, value in samples.items() if value and name.startswith("distributedq_processed")}
    assert counted == {
        'distributedq_processed_total{status="success",type="add"}': 3,
        'distributedq_processed_total{status="retry",type="send_email"}': 1,
        'distributedq_processed_total{status="failed",type="send_email"}': 1,
    }
    assert samples['distributedq_task_duration_seconds_count{type="add"}'] == 3
    assert samples['distributedq_task_duration_seconds_bucket{le="+Inf",type="add"}'] == 3
    assert samples['distributedq_task_duration_seconds_bucket{le="600.0",type="send_email"}'] == 2
    assert samples['distributedq_task_duration_seconds_sum{type="add"}'] > 0
    depths = {name: value for name, value in samples.items() if name.startswith("distributedq_queue_depth")}
    assert depths == {
        'distributedq_queue_depth{queue="main_queue"}': 1,
        'distributedq_queue_depth{queue="processing_queue"}': 1,
        'distributedq_queue_depth{queue="delayed_queue"}': 2,
        'distributedq_queue_depth{queue="dead_letter_queue"}': 1,
    }
    assert samples['distributedq_worker_slots{state="busy"}'] == 1
    assert samples['distributedq_worker_slots{state="total"}'] == 2
    of_queues = {
        name: [samples[f'distributedq_{name}{{queue="{queue}"}}'] for queue in ("default", "mail")]
        for name in ("running_tasks", "delayed_tasks", "dead_tasks", "limited_tasks", "schedule_lag_seconds")
    }
    assert of_queues == {
        "running_tasks": [1, 0], "delayed_tasks": [1, 1], "dead_tasks": [0, 1], "limited_tasks": [0, 0],
        "schedule_lag_seconds": [0, 0],
    }  # fmt: skip
    waiting = {name: value for name, value in samples.items() if name.startswith("distributedq_waiting") and value}
    assert waiting == {'distributedq_waiting_tasks{queue="default",priority="default"}': 1}
    assert samples['distributedq_oldest_task_age_seconds{queue="default"}'] > 0
    assert samples["distributedq_wanted_workers"] == 1
    assert samples['distributedq_memory_bytes{process="children"}'] > 1 << 20
    told = {name: value for name, value in samples.items() if name.startswith("distributedq_tasks_total")}
    assert told == {
        f'distributedq_tasks_total{{queue="{queue}",state="{state}",type="{type}"}}': number
        for queue, state, type, number in (
            ("default", "enqueued", "add", 4), ("default", "completed", "add", 3),
            ("default", "enqueued", "sleep", 1), ("default", "enqueued", "(other)", 1),
            ("mail", "enqueued", "add", 1), ("mail", "enqueued", "send_email", 1),
            ("mail", "retried", "send_email", 1), ("mail", "dead", "send_email", 1),
        )
    }  # fmt: skip
    differences = {name: value for name, value in samples.items() if name.startswith("distributedq_ledger")}
    assert differences == {f'distributedq_ledger_difference{{queue="{queue}"}}': 0 for queue in ("default", "mail")}


def test_the_families_are_those_of_the_guide_and_prometheus_reads_them(common: Port) -> None:
    status, kind, text = common.get("/metrics")
    assert status == 200
    assert kind.startswith("text/plain; version=")
    guide = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \|", (ROOT / "docs/guide/metrics.md").read_text(), re.M)
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
    assert types == {name: kind for name, kind, _ in guide}
    assert re.findall(r"^# HELP (\S+) .+$", text, re.M) == list(types), "each once, and its help before it"
    parse: Any = text_string_to_metric_families
    labels = {name: set(re.findall(r"`(\w+)`", of)) for name, _, of in guide}
    for found in parse(text):
        name = f"{found.name}_total" if found.type == "counter" else found.name
        assert found.documentation
        assert all(set(sample.labels) - {"le"} == labels[name] for sample in found.samples), name


def test_health_and_what_is_not_there(common: Port) -> None:
    for path in ("/livez", "/healthz"):
        assert common.get(path)[::2] == (200, "ok\n")
    inet6 = Path("/proc/net/if_inet6")
    if inet6.exists() and "lo\n" in inet6.read_text():
        assert common.get("/livez", at="::1")[0] == 200
    eventually(lambda: common.get("/readyz")[::2] == (200, "ok\n"), "all processes are ready")
    status, _, text = common.get("/nothing")
    assert (status, text) == (404, "not found: try /metrics\n")


def test_the_scale_is_told_as_json_for_the_time_that_is_given(common: Port) -> None:
    status, kind, text = common.get("/scale?within=5m")
    assert (status, kind) == (200, "application/json")
    demand = json.loads(text)
    told = {
        name: demand[name] for name in ("wanted_workers", "wanted_slots", "slots_per_worker", "within_s", "backlog")
    }
    assert told == {"wanted_workers": 0, "wanted_slots": 0, "slots_per_worker": 2, "within_s": 300, "backlog": 0}
    assert common.get("/scale?within=soon")[0] == 400


def test_a_host_says_why_it_takes_no_tasks(port: Port) -> None:
    eventually(lambda: port.get("/readyz")[0] == 200, "all processes are ready")
    port.host.send(signal.SIGTSTP)
    eventually(
        lambda: port.get("/readyz")[::2] == (503, "not ready: it was told to start nothing (SIGTSTP)\n"), "quiet"
    )
    assert port.get("/livez")[0] == 200
    port.host.send(signal.SIGCONT)
    eventually(lambda: port.get("/readyz")[0] == 200, "it goes on")


def test_a_host_whose_processes_are_stopped_is_not_ready_and_if_all_are_not_alive(port: Port) -> None:
    def says(path: str, text: str) -> bool:
        return port.get(path)[::2] == (503, text)

    eventually(lambda: port.get("/readyz")[0] == 200, "all processes are ready")
    (template,) = children_of(port.host.pid)
    workers = children_of(template)
    for number, pid in enumerate(workers, 1):
        assert port.get("/livez")[0] == 200, "others work"
        os.kill(pid, signal.SIGSTOP)
        stopped = f"{number} of 2 processes are stopped (SIGSTOP)"
        eventually(partial(says, "/readyz", f"not ready: {stopped}\n"), "one more is stopped")
    assert says("/livez", "all processes are stopped\n")
    for pid in workers:
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: port.get("/livez")[0] == port.get("/readyz")[0] == 200, "they go on")


def test_a_host_that_still_imports_its_application_lives_and_is_not_ready(distq: Shell) -> None:
    distq.write("slow.py", "import os, time\nfrom myapp import app\nwhile not os.path.exists('go'): time.sleep(0.01)\n")
    number = free_port()
    host = distq.start("run", "slow:app", "-p", "1", "--metrics-port", str(number))
    starts = Port(host, number)

    def answers() -> bool:
        with contextlib.suppress(ConnectionRefusedError):
            return starts.get("/livez")[0] == 200
        return False

    eventually(answers, "it listens")
    assert [starts.get(path)[::2] for path in ("/livez", "/readyz", "/metrics")] == [
        (200, "ok\n"), (503, "not ready: it starts\n"), (503, "it starts\n"),
    ]  # fmt: skip
    distq.write("go", "")
    host.until(STARTED)
    eventually(lambda: starts.get("/readyz")[0] == 200, "it is ready")


def test_counters_tell_what_became_of_processes_and_go_on(distq: Shell, port: Port, shop: Room) -> None:
    def count(name: str) -> float:
        return port.samples()[f"distributedq_{name}"]

    done = 'processed_total{status="success",type="add"}'
    distq("enqueue", "add", '{"a": 1, "b": 1}', "--wait")
    for worker in shop.run(verbs.workers(shop.prefix)):
        shop.run(verbs.recover(shop.prefix, worker.name, "left"))  # as if all had been away for too long
    distq("enqueue", "add", '{"a": 1, "b": 1}', "--wait")
    assert count("lease_losses_total") >= 1
    shop.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    eventually(lambda: count("reconnects_total") >= 1, "connections are made again")
    (template,) = children_of(port.host.pid)
    os.kill(children_of(template)[0], signal.SIGKILL)
    eventually(lambda: count('child_restarts_total{reason="crash"}') == 1, "one has died")
    eventually(lambda: port.get("/readyz")[0] == 200, "there is another")
    port.host.send(signal.SIGHUP)
    eventually(lambda: count('child_restarts_total{reason="reload"}') == 2, "both are replaced")
    assert count(done) == 2
    assert count('child_restarts_total{reason="crash"}') == 1


def test_without_a_port_nothing_listens(distq: Shell) -> None:
    host = distq.host()
    assert host.out == f"{STARTED}\n"


def test_a_silent_connection_holds_up_neither_the_supervisor_nor_others_for_ever(calm: Shell, common: Port) -> None:
    silent = [socket.create_connection(("127.0.0.1", common.number)) for _ in range(50)]
    assert common.get("/livez", within=4)[0] == 200
    assert calm("enqueue", "add", '{"a": 1, "b": 2}', "--wait").out == "3\n"
    for connection in silent:
        connection.close()


@pytest.mark.parametrize(
    ("request_bytes", "begins"),
    [
        (b"GET /livez HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 OK\r\n"),
        (b"GET /livez?now=1 HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 200 OK\r\n"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 Bad Request\r\n"),
        (b"\x16\x03\x01 hello, in TLS\r\n\r\n", b"HTTP/1.1 400 Bad Request\r\n"),
        (b"GET /" + b"x" * 9000, b"HTTP/1.1 400 Bad Request\r\n"),
        (b"GET /metrics HTTP/1.1", b""),
    ],
)
def test_what_is_no_request_is_refused_and_what_ends_too_soon_forgotten(
    common: Port, request_bytes: bytes, begins: bytes
) -> None:
    connection = socket.create_connection(("127.0.0.1", common.number), 10)
    connection.sendall(request_bytes)
    connection.shutdown(socket.SHUT_WR)
    answer = b""
    while data := connection.recv(4096):
        answer += data
    connection.close()
    assert answer.startswith(begins)
    assert bool(answer) == bool(begins)
    if b"200 OK" in begins:
        assert answer.endswith(b"\r\n\r\nok\n" if b"HTTP/1.0" in request_bytes else b"3\r\nok\n\r\n0\r\n\r\n")
    assert common.get("/livez")[0] == 200


def test_a_head_has_no_body(common: Port) -> None:
    connection = HTTPConnection("127.0.0.1", common.number, timeout=10)
    connection.request("HEAD", "/metrics")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"")
    connection.close()


def test_of_more_than_may_come_in_at_once_those_who_came_first_are_closed(calm: Shell, common: Port) -> None:
    silent = [socket.create_connection(("127.0.0.1", common.number)) for _ in range(80)]
    for connection in silent:
        with contextlib.suppress(ConnectionError):  # it was closed by now
            connection.sendall(b"GET /metrics HTTP/1.1\r\n")
    for path in ("/livez", "/metrics", "/scale"):
        assert common.get(path, within=4)[0] == 200
    assert calm("enqueue", "add", '{"a": 1, "b": 2}', "--wait").out == "3\n"
    for connection in silent:
        connection.settimeout(30)
        with contextlib.suppress(ConnectionResetError):  # what it had said was not read
            assert connection.recv(1) == b""
        connection.close()


def test_only_the_supervisor_holds_the_port_also_after_its_template_was_replaced(distq: Shell, port: Port) -> None:
    waiting = socket.create_connection(("127.0.0.1", port.number))
    (template,) = children_of(port.host.pid)
    os.kill(template, signal.SIGKILL)

    def replaced() -> list[int]:
        found = children_of(port.host.pid)
        workers = [child for pid in found for child in children_of(pid)]
        return [*found, *workers] if len(workers) == 2 and template not in found else []

    for pid in eventually(replaced, "they are replaced"):
        held = [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
        assert not [name for name in held if name in sockets_of(port.number)], f"process {pid} holds the port"
    assert port.get("/livez")[0] == 200
    waiting.close()


def sockets_of(number: int) -> set[str]:
    """The names of the sockets whose own port is this one."""
    tables = [place for place in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")) if place.exists()]
    rows = [line.split() for place in tables for line in place.read_text().splitlines()[1:]]
    return {f"socket:[{row[9]}]" for row in rows if int(row[1].split(":")[1], 16) == number}


def test_the_depths_are_left_out_while_the_broker_is_away(distq: Shell, port: Port, shop: Room) -> None:
    shop.redis.execute_command("CLIENT", "PAUSE", "4000", "ALL")
    names = {re.split(r"[{ ]", name)[0] for name in port.samples()}
    assert "distributedq_queue_depth" not in names
    assert "distributedq_processed_total" in names
    eventually(lambda: any("queue_depth" in name for name in port.samples()), "they come back", within=30)


def test_a_queue_whose_keys_are_broken_is_left_out_and_the_others_are_not(port: Port, shop: Room) -> None:
    mail = Room(shop.url, "shop", "mail")
    mail.redis.set(mail.key("LEASES"), "mine")
    names = set(port.samples())
    assert 'distributedq_delayed_tasks{queue="default"}' in names
    assert 'distributedq_delayed_tasks{queue="mail"}' not in names
    assert "distributedq_wanted_workers" in names
    mail.redis.delete(mail.key("LEASES"))
    mail.close()
