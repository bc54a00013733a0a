"""The ACL rules in the guide: enough for each part, and not one command more; and passwords that change at work."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from distq.broker.address import resolve_url
from distq.broker.scripts import all_scripts
from distq.errors import ConfigurationError
from tests.support.apps.failover import app, note
from tests.support.host import ROOT
from tests.support.room import Room
from tests.system.conftest import Start

RULE = re.compile(r"ACL SETUSER failover-(\w+) on '>secret' (.*)$", re.M)
SCRIPTS = {
    "producer": {"enqueue", "look", "cancel"},
    "worker": {
        "register", "step", "renew", "settle", "recover", "restore", "resign", "tick", "depths", "entries", "workers",
        "tally", "backlog", "strays", "probe", "roll_up", "history", "declare", "define", "fire", "schedules",
    },
    "operator": {script.name for script in all_scripts()},
}  # fmt: skip
PLAIN = {
    "producer": "evalsha script|load client|setname select smembers sadd hget blmove bzpopmin set wait waitaof role",
    "worker": "info config|get exists zadd pexpire",
    "operator": "zrevrange zcount zcard hlen lrange hmget hgetall zrange scan unlink srem time ping",
}


def needed(who: str) -> set[str]:
    """What a role needs; a worker's handlers enqueue, too, and an operator does everything."""
    below = {"producer": [], "worker": ["producer"], "operator": ["producer", "worker"]}[who]
    roles = [who, *below]
    named = {name for role in roles for name in SCRIPTS[role]}
    texts = [script.text for script in all_scripts() if script.name in named]
    used = {word.lower() for text in texts for word in re.findall(r"\bp?call\('(\w+)'", text)}
    return used | {word for role in roles for word in PLAIN[role].split()}


def rules() -> dict[str, list[str]]:
    text = (ROOT / "docs/guide/brokers.md").read_text("utf-8").replace(" \\\n>", "")
    return {who: re.sub(r"['\"]", "", words).split() for who, words in RULE.findall(text)}


@pytest.fixture
def users(room: Room) -> Iterator[dict[str, str]]:
    """The address of each of the three."""
    for who, words in rules().items():
        room.redis.execute_command("ACL", "SETUSER", f"failover-{who}", "on", ">secret", *words)
    yield {who: room.url.replace("unix://", f"unix://failover-{who}:secret@") for who in rules()}
    for who in rules():
        room.redis.acl_deluser(f"failover-{who}")
    app.rebind(room.url)


@pytest.mark.parametrize("who", ["producer", "worker", "operator"])
def test_the_guide_names_what_is_used_and_nothing_else(who: str) -> None:
    words = rules()[who]
    assert {word[1:] for word in words if word.startswith("+")} == needed(who)
    assert [word for word in words if not word.startswith("+")] == [
        "~distq:queues",
        "~distq:{failover/*",
        "resetchannels",
        "-@all",
    ]


def test_each_can_do_its_work_and_not_more(users: dict[str, str], room: Room, start_anywhere: Start) -> None:
    app.rebind(users["producer"])
    host = start_anywhere("failover", broker=users["worker"])
    assert note.delay("one").get(timeout=20) == "one"
    later = note.options(delay=60).delay("two")
    assert later.cancel()
    for words in (
        ["queues"], ["tasks", "show", later.id], ["dlq", "list"], ["purge", "--all", "--yes"], ["audit"],
        ["schedules", "create", "it", "@every 1s", "note"], ["schedules", "show", "it"],
        ["schedules", "delete", "it", "--yes"],
    ):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "distq", *words, "--broker", users["operator"], "--name", "failover"],
            cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert "refused" not in done.stdout + done.stderr
        assert "NOPERM" not in done.stdout + done.stderr
    for url in users.values():
        with redis.Redis.from_url(url) as client:
            for command in (
                ["FLUSHALL"],
                ["KEYS", "*"],
                ["HGET", "distq:{other/default}:tasks", "x"],
                ["CONFIG", "SET", "save", ""],
                ["SHUTDOWN"],
            ):
                with pytest.raises(redis.exceptions.NoPermissionError):
                    client.execute_command(*command)
    assert host.terminate() == 0
    assert "refuse" not in host.log()


def test_a_password_that_changes_while_all_work(users: dict[str, str], room: Room, start_anywhere: Start) -> None:
    host = start_anywhere("failover", broker=users["worker"])
    server: Any = room.redis
    app.rebind(room.url)
    note.delay("before").get(timeout=20)
    server.execute_command("ACL", "SETUSER", "failover-worker", "resetpass", ">other")
    server.execute_command("CLIENT", "KILL", "USER", "failover-worker")
    host.await_log("WRONGPASS")
    waits = note.delay("meanwhile")
    server.execute_command("ACL", "SETUSER", "failover-worker", "resetpass", ">secret")
    assert waits.get(timeout=20) == "meanwhile"
    assert host.log().count("WRONGPASS") <= 2  # each of two processes once a minute
    assert "secret" not in host.log()
    assert host.terminate() == 0


def test_a_wrong_password_ends_a_host_before_it_begins(users: dict[str, str], start_anywhere: Start) -> None:
    host = start_anywhere("failover", broker=users["worker"].replace(":secret@", ":wrong1@"), ready=False)
    assert host.wait() == 3
    assert "WRONGPASS" in host.log()
    assert "wrong1" not in host.log()


def test_a_password_from_the_environment_or_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("p/w:@\n")
    for given in ({"DISTQ_BROKER_PASSWORD": "p/w:@"}, {"DISTQ_BROKER_PASSWORD_FILE": str(secret)}):
        assert resolve_url("redis://h:1/2", given) == "redis://:p%2Fw%3A%40@h:1/2"
        assert resolve_url("sentinel://me@a,b/main", given) == "sentinel://me:p%2Fw%3A%40@a,b/main"
        assert resolve_url("unix:///run/x?db=1", given) == "unix://:p%2Fw%3A%40@/run/x?db=1"
        assert resolve_url("redis://me:own@h", given) == "redis://me:own@h"
        assert resolve_url(None, given) == "redis://:p%2Fw%3A%40@localhost:6379/0"
    with pytest.raises(ConfigurationError, match=r"DISTQ_BROKER_PASSWORD_FILE cannot be read: .*No such file"):
        resolve_url(None, {"DISTQ_BROKER_PASSWORD_FILE": str(tmp_path / "none")})
