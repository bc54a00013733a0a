"""What a host and `distq doctor` look at in a server: each check fires where it should, and is silent where not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from distq.broker import health, keys
from distq.broker.connect import Wire
from distq.broker.health import Finding, examine
from distq.embedded import EmbeddedBroker
from distq.errors import BrokerError
from tests.support.eventually import eventually
from tests.support.proxy import Delay, Proxy

PREFIX = keys.prefix("app", "default")


class Server(EmbeddedBroker):
    """With words of its own on its command line, and data in a folder, as a server that somebody has set up."""

    def __init__(self, folder: Path, *words: str) -> None:
        super().__init__(folder)
        self._words = words

    def _arguments(self, home: Path) -> list[str]:
        return [*super()._arguments(home), *self._words]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    with Server(tmp_path_factory.mktemp("data"), "--maxmemory", "1gb") as broker:
        yield broker


@pytest.fixture
def client(server: EmbeddedBroker) -> Iterator[Any]:
    """With its settings put back afterwards."""
    client: Any = redis.Redis.from_url(server.url)
    before = {name: client.config_get(name)[name] for name in health.SETTINGS if name != "dir"}
    before["maxmemory"] = client.config_get("maxmemory")["maxmemory"]
    yield client
    client.replicaof("NO", "ONE")
    for name, value in before.items():
        client.config_set(name, value)
    client.close()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine may be busy: what takes long is no finding, unless a test wants it to be one."""
    monkeypatch.setattr(health, "SLOW_MS", 10_000.0)


def look(url: str, connections: int = 10, said: str = "") -> list[Finding]:
    wire = Wire(url, timeout=5.0)
    try:
        found = examine(wire, [PREFIX], said or url, connections)
        assert all(one.hint for one in found if one.level in ("warning", "problem")), "what mends it is told"
        return found
    finally:
        wire.close()


def test_a_good_server_has_nothing_to_complain_of(server: EmbeddedBroker, client: Any) -> None:
    found = look(server.url)
    assert {finding.level for finding in found} == {"ok"}, found
    assert {finding.check for finding in found} == {"server", "persistence", "memory", "round trip", "commands"}
    assert client.dbsize() == 0, "it has changed nothing"


BAD = [
    ("eviction", "warning", {"maxmemory-policy": "allkeys-lru"}, "allkeys-lru: when it is full it deletes tasks"),
    ("persistence", "warning", {"appendonly": "no", "save": ""}, "keeps nothing on disk"),
    ("persistence", "note", {"appendonly": "no", "save": "3600 1"}, "keeps snapshots only (3600 1)"),
    ("persistence", "warning", {"appendfsync": "no"}, "appendfsync no"),
    ("memory", "note", {"maxmemory": "0"}, "has no limit"),
    ("idle connections", "warning", {"timeout": "5"}, "idle for 5 s"),
    ("keepalive", "warning", {"tcp-keepalive": "0"}, "tcp-keepalive 0"),
    ("output buffers", "warning", {"client-output-buffer-limit": "normal 65536 0 0"}, "65,536 bytes"),
]


@pytest.mark.parametrize(("check", "level", "settings", "text"), BAD, ids=lambda value: str(value)[:20])
def test_a_bad_setting_is_found(
    server: EmbeddedBroker, client: Any, check: str, level: str, settings: dict[str, str], text: str
) -> None:
    for name, value in settings.items():
        client.config_set(name, value)
    [finding] = [finding for finding in look(server.url) if finding.level != "ok"]
    assert (finding.check, finding.level) == (check, level)
    assert text in finding.text
    assert finding.hint.startswith(("valkey-cli CONFIG SET ", "redis-cli CONFIG SET "))


@pytest.mark.parametrize(("part", "level"), [(0.9, "warning"), (0.99, "problem"), (0.5, "ok")])
def test_memory_close_to_its_limit(server: EmbeddedBroker, client: Any, part: float, level: str) -> None:
    client.config_set("maxmemory", int(client.info("memory")["used_memory"] / part))
    [finding] = [finding for finding in look(server.url) if finding.check == "memory"]
    assert finding.level == level


def test_no_limit_and_a_machine_that_is_full(
    server: EmbeddedBroker, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.config_set("maxmemory", "0")
    monkeypatch.setattr(health, "TIGHT", 1e-9)
    [finding] = [finding for finding in look(server.url) if finding.check == "memory"]
    assert (finding.level, "that its machine has" in finding.text) == ("warning", True)


def test_a_disk_that_cannot_be_written_to(server: EmbeddedBroker, client: Any) -> None:
    folder = Path(client.config_get("dir")["dir"]) / client.config_get("dbfilename")["dbfilename"]
    folder.unlink(missing_ok=True)
    folder.mkdir()

    def is_idle() -> bool:
        told = client.info("persistence")
        return not any(
            told[name] for name in ("rdb_bgsave_in_progress", "aof_rewrite_in_progress", "aof_rewrite_scheduled")
        )

    def save(status: str) -> None:
        eventually(is_idle, "nothing is being written")
        client.bgsave()
        eventually(is_idle, "it has tried to save")
        assert client.info("persistence")["rdb_last_bgsave_status"] == status

    save("err")
    [finding] = [finding for finding in look(server.url) if finding.level != "ok"]
    assert (finding.level, finding.check) == ("problem", "persistence")
    assert finding.hint.startswith(f"df -h {folder.parent}")
    folder.rmdir()
    save("ok")


def test_too_few_connections(server: EmbeddedBroker) -> None:
    [finding] = [finding for finding in look(server.url, connections=1_000_000) if finding.level != "ok"]
    assert finding.check == "connections"
    assert "1,000,000 more" in finding.text


def test_a_replica(server: EmbeddedBroker, client: Any) -> None:
    client.replicaof("127.0.0.1", "1")
    found = {finding.check: finding for finding in look(server.url)}
    assert found["replica"].level == "problem"
    assert "of 127.0.0.1:1" in found["replica"].text


def test_a_slow_round_trip(server: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "SLOW_MS", 5.0)
    with Proxy(server.url) as proxy, proxy.fault(Delay(match="PING", seconds=0.03)):
        [finding] = [finding for finding in look(proxy.url) if finding.level != "ok"]
    assert (finding.check, finding.level) == ("round trip", "warning")
    assert "calls a second" in finding.text


def test_a_far_clock(server: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distq.broker.health.time.time", lambda: 1000.0)
    [finding] = [finding for finding in look(server.url) if finding.level != "ok"]
    assert (finding.check, finding.level) == ("clock", "note")
    assert "ahead of this machine's" in finding.text


@pytest.mark.parametrize("command", ["ZMSCORE", "LPOS", "HSETNX", "BLMOVE", "BZPOPMIN", "EVALSHA", "TIME"])
def test_a_command_that_is_missing(tmp_path: Path, command: str) -> None:
    with Server(tmp_path / "data", "--maxmemory", "1gb", "--rename-command", command, "") as broker:
        found = [finding for finding in look(broker.url) if finding.level != "ok"]
    assert [(finding.check, finding.level) for finding in found] == [("commands", "problem")] * len(found)
    named = [finding.text for finding in found]
    assert any(command in text for text in named), named


def test_a_command_that_is_forbidden(server: EmbeddedBroker, client: Any) -> None:
    client.acl_setuser("narrow", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-zmscore", "-blmove"])
    try:
        url = server.url.replace("unix://", "unix://narrow:x@")
        texts = [finding.text for finding in look(url) if finding.level == "problem"]
    finally:
        client.acl_deluser("narrow")
    assert any("ZMSCORE" in text for text in texts)
    assert any("BLMOVE" in text for text in texts)
    assert not any("x@" in text for text in texts)


def test_a_node_of_a_cluster(tmp_path: Path) -> None:
    with Server(tmp_path / "data", "--maxmemory", "1gb", "--cluster-enabled", "yes") as broker:
        client: Any = redis.Redis.from_url(broker.url)
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        wire = Wire(broker.url, timeout=5.0)
        found = {finding.check: finding for finding in examine(wire, [], broker.url)}
        assert found["cluster"].level == "problem"
        assert "cluster" not in {finding.check for finding in examine(wire, [], "cluster://host:1")}
        wire.close()
        client.close()


def test_an_embedded_broker_without_data_is_not_told_what_it_knows(url: str) -> None:
    assert {finding.level for finding in look(url)} == {"ok"}


def test_a_user_who_may_not_ask_hears_less(server: EmbeddedBroker, client: Any) -> None:
    client.acl_setuser("narrow", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-@dangerous"])
    try:
        found = look(server.url.replace("unix://", "unix://narrow:x@"))
    finally:
        client.acl_deluser("narrow")
    assert {finding.check for finding in found} == {"server", "round trip", "commands"}
    assert {finding.level for finding in found} == {"ok"}


@pytest.mark.parametrize(
    "missing", ["rpush", "hset", "zadd", "set", "lpush", "hget", "blmove", "evalsha", "script|load"]
)
def test_a_missing_right_is_named(server: EmbeddedBroker, client: Any, missing: str) -> None:
    client.execute_command("ACL", "SETUSER", "narrow-key", "on", "nopass", "~*", "+@all", f"-{missing}")
    try:
        [finding] = [
            finding for finding in look(server.url.replace("unix://", "unix://narrow-key:x@")) if finding.level != "ok"
        ]
    finally:
        client.acl_deluser("narrow-key")
    assert (finding.level, finding.check) == ("problem", "rights")
    assert finding.text == f"the user of this address may not send {missing.upper().replace('|', ' ')}"
    assert finding.hint.startswith(f"ACL SETUSER … +{missing};")


def test_keys_that_a_user_may_not_use_are_named(server: EmbeddedBroker, client: Any) -> None:
    client.execute_command("ACL", "SETUSER", "narrow", "on", "nopass", "~other:*", "+@all")
    try:
        [finding] = [
            finding for finding in look(server.url.replace("unix://", "unix://narrow:x@")) if finding.level != "ok"
        ]
    finally:
        client.acl_deluser("narrow")
    assert finding.text == "the user of this address may not use the keys distq:{app/*"
    assert finding.hint == "ACL SETUSER … ~distq:{app/*"


def test_a_key_of_another_type_is_named(server: EmbeddedBroker, client: Any) -> None:
    client.set(keys.key(PREFIX, "LEASES"), "mine")
    [finding] = [finding for finding in look(server.url) if finding.level != "ok"]
    client.delete(keys.key(PREFIX, "LEASES"))
    assert (finding.level, finding.check) == ("problem", "keys")
    assert finding.text == f"the key {PREFIX}leases is no zset: whatever touches it fails"


def test_an_old_server_is_refused() -> None:
    with pytest.raises(BrokerError, match=r"Redis 6\.0\.16: distq needs 6\.2"):
        health._version({"redis_version": "6.0.16"})
    assert health._version({"redis_version": "6.2.0"}).level == "ok"
    assert health._version({}).level == "ok"
