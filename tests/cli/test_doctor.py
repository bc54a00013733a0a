"""distq doctor: what it says of machine, application, broker and queues, its exit codes, its looks at 80 columns."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest
import redis

from distq.cli import quota
from distq.cli.machine import examine_machine
from distq.cli.settings import Size
from distq.config import WorkerConfig
from distq.embedded import EmbeddedBroker
from tests.cli.conftest import PYTHON, Shell
from tests.support.room import Room


def levels(distq: Shell, *words: str, code: int = 0) -> dict[tuple[str, str], str]:
    found = distq("doctor", "--json", *words, code=code).json
    return {(item["about"].split()[0], item["check"]): item["level"] for item in found}


def test_a_set_up_that_works(distq: Shell, shop: Room) -> None:
    distq.host()
    said = distq("doctor", "myapp:app", env={"COLUMNS": "80"})
    lines = said.out.splitlines()
    assert lines[-1] == "all is well"
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line and line[0] != " "][:2] == ["this machine", "application"]
    assert set(levels(distq, "myapp:app").values()) == {"ok"}
    before = shop.snapshot()
    distq("doctor", "myapp:app")
    assert shop.snapshot() == before, "it only reads"


def test_a_problem_is_told_with_what_mends_it(distq: Shell, shop: Room) -> None:
    shop.enqueue("add")
    said = distq("doctor", code=5, env={"COLUMNS": "80"})
    assert "problem  workers" in said.out
    assert "→ distq run MODULE:APP -Q default" in said.out
    assert said.out.splitlines()[-1].startswith("1 problem")
    assert levels(distq, code=5)["queue", "workers"] == "problem"


def test_without_application_and_without_anything_in_the_broker(distq: Shell) -> None:
    assert levels(distq) == {
        ("this", "python"): "ok", ("this", "packages"): "ok", ("this", "files"): "ok",
        ("this", "processors"): "ok", ("this", "processes"): "ok",
        ("broker", "server"): "ok", ("broker", "round trip"): "ok",
    }  # fmt: skip
    assert levels(distq, "--name", "nobody")["application", "queues"] == "note"


def test_an_application_that_cannot_be_loaded(distq: Shell) -> None:
    distq.write("broken.py", "import nothing_of_this_name")
    assert levels(distq, "broken:app", code=5)["application", "import"] == "problem"
    assert "nothing_of_this_name" in distq("doctor", "broken:app", code=5).out
    assert levels(distq, "nowhere:app", code=5)["application", "import"] == "problem"
    distq.write("empty.py", "from distq import Distq\napp = Distq('shop')")
    assert levels(distq, "empty:app")["application", "tasks"] == "warning"


@pytest.mark.parametrize("words", [(), ("myapp:app",)])
def test_a_broker_that_is_not_there(outside: Shell, words: tuple[str, ...]) -> None:
    url = "redis://user:secret@127.0.0.1:1/0"
    said = outside("doctor", *words, "--broker", url, code=5)
    assert "no broker at" in said.out
    assert "secret" not in said.out
    assert levels(outside, *words, "--broker", url, code=5)["broker", "connection"] == "problem"
    assert levels(outside, *words, "--broker", "http://x", code=5)["broker", "address"] == "problem"


def test_keys_of_another_layout(distq: Shell, shop: Room) -> None:
    shop.redis.hset(shop.key("META"), "layout", "99")
    assert levels(distq, "myapp:app", code=5)["queue", "keys"] == "problem"
    assert "layout 99" in distq("doctor", code=5).out


@pytest.mark.parametrize(("limit", "level"), [(256, "warning"), (16_384, "ok"), (-1, "ok")])
def test_files_for_the_processes(monkeypatch: pytest.MonkeyPatch, limit: int, level: str) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda kind: (limit, 1_048_576))
    [found] = [one for one in examine_machine(WorkerConfig("x", processes=64)) if one.check == "files"]
    assert found.level == level
    assert found.hint == ("ulimit -n 4096" if level == "warning" else "")


def test_limits_of_the_shell_are_heard(outside: Shell) -> None:
    words = [PYTHON, "-m", "distq", "doctor", "--json", "-p", "3", "--broker", "redis://127.0.0.1:1"]
    command = f"ulimit -n 100 -u 20; exec {shlex.join(words)}"
    done = subprocess.run(
        ["/bin/bash", "-c", command], cwd=outside.folder, env=outside.environ, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 5, done.stderr
    found = {item["check"]: item for item in json.loads(done.stdout)}
    assert (found["files"]["level"], found["files"]["hint"]) == ("warning", "ulimit -n 142")
    assert (found["processes"]["level"], "20 processes" in found["processes"]["text"]) == ("warning", True)


GROUPS = {
    "2": {"cgroup.controllers": "cpu pids", "mine/cpu.max": "150000 100000", "mine/pids.max": "24"},
    "1": {
        "cpu,cpuacct/cpu.cfs_quota_us": "150000",
        "cpu,cpuacct/cpu.cfs_period_us": "100000",
        "pids/mine/pids.max": "24",
    },
}


@pytest.mark.parametrize("version", GROUPS)
def test_the_quota_of_a_container_is_heard(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in GROUPS[version].items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    mine = tmp_path / "self"
    mine.write_text("0::/mine\n" if version == "2" else "5:pids:/mine\n4:cpu,cpuacct:/mine\n0::/\n")
    monkeypatch.setattr(quota, "GROUPS", tmp_path)
    monkeypatch.setattr(quota, "MINE", mine)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert (quota.processors(), Size(None, "1", None).settings()["processes"]) == (1.5, 2)
    for processes, level in ((2, "ok"), (4, "warning")):
        found = {one.check: one for one in examine_machine(WorkerConfig("x", processes=processes))}
        assert found["processors"].level == level
    assert found["processors"].hint.startswith("distq run … -p 2;")
    assert (found["processes"].level, "this container may have 24" in found["processes"].text) == ("warning", True)


def test_files_for_coroutines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda kind: (1024, 1_048_576))
    for coroutines, level in ((100, "ok"), (500, "warning")):
        config = WorkerConfig("x", processes=2, coroutines=coroutines)
        [found] = [one for one in examine_machine(config) if one.check == "files"]
        assert found.level == level
    assert "-p 2 -t 1 --coroutines 500 takes about 2,100" in found.text


def test_rights_that_the_user_lacks_are_named(shop: Room, distq: Shell) -> None:
    shop.redis.execute_command("ACL", "SETUSER", "narrow", "on", ">secret", "~distq:{shop/*", "+@all", "-rpush")
    url = shop.url.replace("unix://", "unix://narrow:secret@")
    try:
        said = distq("doctor", "--broker", url, "--name", "shop", code=5).out
        assert "key distq:queues → ACL SETUSER … ~distq:queues +smembers +sadd" in " ".join(said.split())
        shop.redis.execute_command("ACL", "SETUSER", "narrow", "~distq:queues")
        said = distq("doctor", "--broker", url, "--name", "shop", code=5).out
        assert "may not send RPUSH" in said
        assert "ACL SETUSER … +rpush" in said
    finally:
        shop.redis.acl_deluser("narrow")


def test_a_host_says_at_its_start_what_is_wrong_with_its_broker_and_not_its_secrets(
    outside: Shell, tmp_path: Path
) -> None:
    with EmbeddedBroker(tmp_path / "data") as broker, redis.Redis.from_url(broker.url) as client:
        client.config_set("appendfsync", "no")
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.acl_setuser("worker", enabled=True, passwords=["+secret"], keys=["*"], commands=["+@all"])
        url = broker.url.replace("unix://", "unix://worker:secret@")
        host = outside.host("--broker", url)
        lines = [line for line in host.err.splitlines() if "WARNING" in line]
        assert len(lines) == 2, host.err
        assert (
            "maxmemory-policy allkeys-lru: when it is full it deletes tasks; "
            "valkey-cli CONFIG SET maxmemory-policy noeviction" in lines[0]
        )
        assert "appendfsync no" in lines[1]
        assert "secret" not in host.all
        assert host.end() == 0
        for name, value in (("appendfsync", "everysec"), ("maxmemory-policy", "noeviction")):
            client.config_set(name, value)
        host = outside.host("--broker", url)
        assert "WARNING" not in host.err


def test_a_host_on_the_embedded_broker_says_nothing(distq: Shell) -> None:
    assert "WARNING" not in distq.host().err
