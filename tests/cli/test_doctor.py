"""distq doctor: what it says of machine, application, broker and queues, its exit codes, its looks at 80 columns."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from distq.cli import doctor
from distq.config import WorkerConfig
from distq.embedded import EmbeddedBroker
from tests.cli.conftest import Shell
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
    said = distq("doctor", code=1, env={"COLUMNS": "80"})
    assert "problem  workers" in said.out
    assert "→ distq run MODULE:APP -Q default" in said.out
    assert said.out.splitlines()[-1].startswith("1 problem")
    assert levels(distq, code=1)["queue", "workers"] == "problem"


def test_without_application_and_without_anything_in_the_broker(distq: Shell) -> None:
    assert levels(distq) == {
        ("this", "python"): "ok", ("this", "packages"): "ok", ("this", "files"): "ok",
        ("broker", "server"): "ok", ("broker", "round trip"): "ok",
    }  # fmt: skip
    assert levels(distq, "--name", "nobody")["application", "queues"] == "note"


def test_an_application_that_cannot_be_loaded(distq: Shell) -> None:
    distq.write("broken.py", "import nothing_of_this_name")
    assert levels(distq, "broken:app", code=1)["application", "import"] == "problem"
    assert "nothing_of_this_name" in distq("doctor", "broken:app", code=1).out
    assert levels(distq, "nowhere:app", code=1)["application", "import"] == "problem"
    distq.write("empty.py", "from distq import Distq\napp = Distq('shop')")
    assert levels(distq, "empty:app")["application", "tasks"] == "warning"


@pytest.mark.parametrize("words", [(), ("myapp:app",)])
def test_a_broker_that_is_not_there(outside: Shell, words: tuple[str, ...]) -> None:
    url = "redis://user:secret@127.0.0.1:1/0"
    said = outside("doctor", *words, "--broker", url, code=1)
    assert "no broker at" in said.out
    assert "secret" not in said.out
    assert levels(outside, *words, "--broker", url, code=1)["broker", "connection"] == "problem"
    assert levels(outside, *words, "--broker", "http://x", code=1)["broker", "address"] == "problem"


def test_keys_of_another_layout(distq: Shell, shop: Room) -> None:
    shop.redis.hset(shop.key("META"), "layout", "99")
    assert levels(distq, "myapp:app", code=1)["queue", "keys"] == "problem"
    assert "layout 99" in distq("doctor", code=1).out


@pytest.mark.parametrize(("limit", "level"), [(256, "warning"), (16_384, "ok"), (-1, "ok")])
def test_files_for_the_processes(monkeypatch: pytest.MonkeyPatch, limit: int, level: str) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda kind: (limit, 1_048_576))
    [found] = [finding for finding in doctor._machine(WorkerConfig("x", processes=64)) if finding.check == "files"]
    assert found.level == level
    assert found.hint == ("ulimit -n 4096" if level == "warning" else "")


def test_files_for_coroutines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda kind: (1024, 1_048_576))
    for coroutines, level in ((100, "ok"), (500, "warning")):
        config = WorkerConfig("x", processes=2, coroutines=coroutines)
        [found] = [finding for finding in doctor._machine(config) if finding.check == "files"]
        assert found.level == level
    assert "-p 2 -t 1 --coroutines 500 takes about 2,100" in found.text


def test_rights_that_the_user_lacks_are_named(shop: Room, distq: Shell) -> None:
    shop.redis.execute_command("ACL", "SETUSER", "narrow", "on", ">secret", "~distq:{shop/*", "+@all", "-rpush")
    url = shop.url.replace("unix://", "unix://narrow:secret@")
    try:
        said = distq("doctor", "--broker", url, "--name", "shop", code=1).out
        assert "key distq:queues; ACL SETUSER … ~distq:queues +smembers +sadd" in " ".join(said.split())
        shop.redis.execute_command("ACL", "SETUSER", "narrow", "~distq:queues")
        said = distq("doctor", "--broker", url, "--name", "shop", code=1).out
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
            "maxmemory-policy allkeys-lru: when it is full it deletes tasks; set maxmemory-policy noeviction"
            in lines[0]
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
