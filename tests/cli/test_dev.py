"""`distq dev`: one command for everything, and nothing left of it afterwards, however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
import redis

from distq.embedded import find_server
from tests.cli.conftest import STARTED, Process, Shell
from tests.support.eventually import eventually
from tests.support.ports import free_port
from tests.support.tls import Certificates, Terminator


def mentioning(text: str) -> set[int]:
    """All processes whose environment or arguments mention something."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                told = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if text.encode() in told:
                found.add(int(entry.name))
    return found


@pytest.fixture
def dev(outside: Shell) -> Iterator[Dev]:
    """Starts `distq dev`; afterwards no process of it is left."""
    dev = Dev(outside)
    yield dev
    for process in outside.processes:
        process.end()
    try:
        eventually(lambda: not dev.processes(), "no process is left")
    finally:
        for pid in dev.processes():
            os.kill(pid, signal.SIGKILL)


class Dev:
    """`distq dev` in a folder."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        shell.environ["DISTQ_TEST_MARK"] = f"mark-{shell.folder}"

    def __call__(self, *args: str, target: str = "myapp:app") -> Process:
        if "--dashboard" not in args:
            args = (*args, "--no-dashboard")
        return self.shell.start("dev", target, "-p", "1", "--port", str(self.port), "--metrics-port", "0", *args)

    def started(self, *args: str) -> Process:
        process = self(*args)
        process.until(STARTED)
        return process

    def processes(self) -> set[int]:
        """All that it has started carry its environment, down to the broker."""
        return mentioning(f"DISTQ_TEST_MARK=mark-{self.shell.folder}\0")

    def enqueue(self, *args: str, code: int = 0) -> str:
        return self.shell("enqueue", *args, "--broker", self.url, code=code).out.strip()


def test_one_command_gives_broker_and_worker(dev: Dev) -> None:
    process = dev.started()
    assert re.search(rf"^Broker at {dev.url} \((valkey|redis)-server, data in \.distq/\)$", process.out, re.M)
    assert f"For other programs: export DISTQ_BROKER='{dev.url}'" in process.out
    assert dev.enqueue("add", '{"a": 1, "b": 2}', "--wait") == "3"
    assert (dev.shell.folder / ".distq" / ".gitignore").read_text() == "*\n"


def test_data_is_taken_up_again_by_the_next_start(dev: Dev) -> None:
    first = dev.started()
    waiting = dev.enqueue("add", '{"a": 1, "b": 2}', "--delay", "1h")
    dead = dev.enqueue("refuse", '"no"')
    dev.shell("result", dead, "--broker", dev.url, "--wait", "30s", code=1)
    first.send(signal.SIGINT)
    assert first.ended() == 0
    assert not dev.processes()
    dev.started()
    assert dev.shell("result", waiting, "--broker", dev.url, code=6).err == f"not there yet: {waiting} is scheduled\n"
    assert dev.shell("dlq", "list", "--broker", dev.url, "--json").json[0]["id"] == dead


def test_ephemeral_keeps_nothing(dev: Dev) -> None:
    first = dev.started("--ephemeral")
    assert "keeps nothing" in first.out
    dev.enqueue("add", "1", "--delay", "1h")
    assert first.end() == 0
    assert not (dev.shell.folder / ".distq").exists()
    dev.started("--ephemeral")
    assert dev.shell("queues", "--broker", dev.url, "--json").json[0]["scheduled"] == 0


def test_a_folder_of_somebody_else_is_not_made_invisible_to_git(dev: Dev) -> None:
    dev.shell.write("data/notes.txt", "mine")
    dev.started("--data", "data")
    assert not (dev.shell.folder / "data" / ".gitignore").exists()


def test_a_taken_port_is_exit_code_4(dev: Dev) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", dev.port))
        listener.listen()
        process = dev()
        assert process.ended() == 4
    assert process.err == f"error: --port {dev.port}: 127.0.0.1:{dev.port} is taken; give another, or leave it out\n"
    assert not (dev.shell.folder / ".distq").exists()


def test_a_taken_metrics_port_ends_everything(dev: Dev) -> None:
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()
        process = dev("--metrics-port", str(listener.getsockname()[1]))
        assert process.ended() == 4
    assert "error: metrics port" in process.err
    assert not dev.processes()


def test_a_folder_in_use_by_another_is_refused(dev: Dev) -> None:
    dev.started()
    second = dev.shell.start("dev", "myapp:app", "--port", str(free_port()))
    assert second.ended() == 2
    assert second.err.startswith("error: the data folder .distq is in use by another embedded broker")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--port", "0"], "error: --port '0': give a whole number from 1 to 65535"),
        (["-p", "none"], "error: --processes 'none': give a whole number"),
        (["--log-level", "loud"], "error: --log-level loud: give one of"),
        (["--data", "myapp.py"], "error: --data myapp.py: "),
        (["--broker", "http://x"], "error: broker 'http://x' is no address"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_options_start_nothing(dev: Dev, args: list[str], said: str) -> None:
    done = dev.shell("dev", "myapp:app", *args, code=2)
    assert done.err.startswith(said), done.err
    assert done.out == ""


def test_a_given_broker_is_used(distq: Shell, url: str) -> None:
    process = distq.start("dev", "myapp:app", "-p", "1", "--metrics-port", "0", "--no-dashboard")
    process.until(STARTED)
    assert process.out.startswith("Broker at unix:")
    assert distq("enqueue", "add", '{"a": 2, "b": 2}', "--wait").out == "4\n"
    assert not (distq.folder / ".distq").exists()


def test_its_broker_also_serves_an_application_that_names_another(dev: Dev) -> None:
    dev.shell.write("fixed.py", "from distq import Distq\napp = Distq('shop', 'redis://127.0.0.1:1/0')\n"
                    "@app.task\ndef one(): return 1\n")  # fmt: skip
    dev("--ephemeral", target="fixed:app").until(STARTED)
    assert dev.enqueue("one", "--wait") == "1"


def test_the_password_of_a_broker_is_in_no_argument_list(outside: Shell) -> None:
    process = outside.start("dev", "myapp:app", "--metrics-port", "0",
                            env={"DISTQ_BROKER": "redis://:s3cret@127.0.0.1:1/0"})  # fmt: skip
    seen: set[str] = set()
    while process.popen.poll() is None:
        for pid in mentioning("s3cret"):
            try:
                seen.add(Path(f"/proc/{pid}/cmdline").read_text())
            except OSError:
                continue
    assert process.ended() == 3
    assert any("run\0myapp:app" in command for command in seen), seen
    assert not any("s3cret" in command for command in seen)
    assert "s3cret" not in process.all


def test_the_dashboard_is_beside_it_knows_new_types_and_ends_with_it(dev: Dev) -> None:
    process = dev.started("--dashboard")
    found = re.search(r"^Dashboard at (http://127.0.0.1:\d+)$", process.out, re.M)
    assert found, process.out

    def types() -> set[str]:
        with contextlib.suppress(OSError), urlopen(f"{found[1]}/api/v1/types", timeout=10) as answer:
            return {one["type"] for one in json.load(answer)["types"]}
        return set()

    eventually(lambda: "add" in types(), "it is served")
    source = (dev.shell.folder / "myapp.py").read_text()
    dev.shell.write("myapp.py", f"{source}\n@app.task\ndef newer() -> None: ...\n")
    eventually(lambda: "newer" in types(), "it is served anew", within=20)
    assert process.end() == 0
    assert not types()


# -- reload ---------------------------------------------------------------------------------------------------------


def test_a_change_of_the_source_is_in_use_a_moment_later(dev: Dev) -> None:
    process = dev.started()
    source = (dev.shell.folder / "myapp.py").read_text()

    dev.shell.write("myapp.py", source.replace("return a + b", "return a * b * 100"))
    process.until("myapp.py changed: loading the application afresh")
    eventually(lambda: dev.enqueue("add", '{"a": 2, "b": 3}', "--wait") == "600", "it is in use", within=20)

    dev.shell.write("myapp.py", source + "\ndef broken(:\n")
    process.until("what was loaded before goes on: myapp cannot be imported: SyntaxError")
    assert dev.enqueue("add", '{"a": 2, "b": 3}', "--wait") == "600"

    dev.shell.write("myapp.py", source)
    eventually(lambda: dev.enqueue("add", '{"a": 2, "b": 3}', "--wait") == "5", "it is mended", within=20)
    assert process.out.count(STARTED) == 1
    process.send(signal.SIGTERM)
    assert process.ended() == 0


def test_a_module_that_is_broken_from_the_start_can_be_mended(dev: Dev) -> None:
    dev.shell.write("shop.py", "import nothing_like_that\n")
    process = dev(target="shop:app")
    process.until("Waiting for a change of the source")
    dev.shell.write("shop.py", "from myapp import app\n")
    process.until(STARTED)


def test_without_reload_a_broken_module_ends_it(dev: Dev) -> None:
    process = dev("--no-reload", target="nowhere:app")
    assert process.ended() == 2
    assert "no module 'nowhere'" in process.err
    assert not dev.processes()


# -- the end --------------------------------------------------------------------------------------------------------


def running(dev: Dev, seconds: float) -> str:
    id = dev.enqueue("sleep", str(seconds))
    eventually(
        lambda: dev.shell("tasks", "show", id, "--broker", dev.url, "--json").json["status"] == "running", "it runs"
    )
    return id


def test_ctrl_c_lets_the_worker_finish_and_ends_all(dev: Dev) -> None:
    process = dev.started()
    id = running(dev, 1.0)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of the group
    assert process.ended() == 0
    assert not dev.processes()
    dev.started()
    assert dev.shell("result", id, "--broker", dev.url).out == "null\n", "it was finished, and the broker kept it"


def test_ctrl_c_twice_ends_at_once_and_loses_nothing(dev: Dev) -> None:
    process = dev.started()
    id = running(dev, 300)
    os.killpg(process.pid, signal.SIGINT)
    process.until("finishing what runs")
    os.killpg(process.pid, signal.SIGINT)
    assert process.ended() == 130
    assert not dev.processes()
    dev.started()
    assert "is running" in dev.shell("result", id, "--broker", dev.url, "--wait", "1s", code=6).err


def test_kill_9_leaves_neither_broker_nor_worker_behind(dev: Dev) -> None:
    process = dev.started()
    running(dev, 300)
    assert len(dev.processes()) >= 5
    process.send(signal.SIGKILL)
    process.ended()
    eventually(lambda: not dev.processes(), "all are gone", within=30)
    with pytest.raises(redis.ConnectionError), redis.Redis.from_url(dev.url) as client:
        client.ping()


def test_ctrl_c_during_the_start_ends_it_without_a_traceback(dev: Dev) -> None:
    process = dev()
    process.until("Broker at")
    process.send(signal.SIGINT)
    assert process.ended() in (0, 130)
    assert not dev.processes()


# -- a broker of one's own, over TLS ---------------------------------------------------------------------------------


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "certificates")


@pytest.fixture
def secured(certificates: Certificates, url: str) -> Iterator[Terminator]:
    with Terminator(certificates, url) as door:
        yield door


@pytest.fixture
def sentinel(tmp_path: Path, secured: Terminator, certificates: Certificates) -> Iterator[str]:
    """One that names the server behind TLS, and is behind TLS itself; its address, for distq."""
    place, settings = tmp_path / "sentinel", tmp_path / "sentinel.conf"
    settings.write_text(
        f"port {free_port()}\nbind 127.0.0.1\nunixsocket {place}\ndir {tmp_path}\n"
        f"sentinel monitor main 127.0.0.1 {urlsplit(secured.url).port} 1\n"
    )
    with (tmp_path / "sentinel.log").open("wb") as log:
        process = subprocess.Popen([find_server(), str(settings), "--sentinel"], stdout=log, stderr=log)
    try:
        eventually(place.exists, "the sentinel listens")
        with Terminator(certificates, f"unix://{place}") as door:
            port = urlsplit(door.url).port
            yield f"sentinels://127.0.0.1:{port}/main?ssl_ca_certs={certificates.authority}"
    finally:
        process.kill()
        process.wait()


def works(dev: Dev, address: str) -> None:
    process = dev.started("--broker", address)
    assert f"Broker at {address} (given by --broker or $DISTQ_BROKER: none is started)" in process.out
    said = dev.shell("enqueue", "add", '{"a": 1, "b": 2}', "--wait", "--broker", address)
    assert said.out == "3\n"
    (dev.shell.folder / "myapp.py").write_text((dev.shell.folder / "myapp.py").read_text().replace("a + b", "a - b"))
    call = ("enqueue", "add", '{"a": 1, "b": 2}', "--wait", "--broker", address)
    eventually(lambda: dev.shell(*call).out == "-1\n", "the change is in use", within=20)
    assert process.end() == 0
    assert not (dev.shell.folder / ".distq").exists()


def test_a_broker_over_tls(dev: Dev, secured: Terminator, certificates: Certificates) -> None:
    works(dev, f"{secured.url}?ssl_ca_certs={certificates.authority}")


def test_a_broker_that_sentinels_name_over_tls(dev: Dev, sentinel: str) -> None:
    works(dev, sentinel)


def test_a_certificate_that_is_not_trusted_ends_it(dev: Dev, secured: Terminator) -> None:
    process = dev("--broker", secured.url)
    assert process.ended() == 3
    assert "its certificate is refused" in process.err
    assert "ssl_ca_certs= names the authority to trust" in process.err
