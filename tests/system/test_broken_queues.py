"""Keys that somebody broke, and rights that are missing: said at the start, and no other queue stops for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from distq.broker import keys
from tests.support.apps.queues import app, work
from tests.support.eventually import eventually
from tests.support.room import Room
from tests.system.conftest import Start

MAIL = keys.prefix("app", "mail")


@pytest.fixture(autouse=True)
def mended(room: Room) -> Iterator[None]:
    app.rebind(room.url)
    yield
    room.redis.delete(*room.redis.keys(MAIL + "*"))


def test_a_queue_with_a_broken_key_is_named_at_the_start_and_left_alone(start: Start, room: Room) -> None:
    room.redis.set(keys.key(MAIL, "TASKS"), "mine")
    host = start("queues", processes=1)
    assert work.delay().get(timeout=20) == "default"
    assert f"queue mail is left alone until this host is started again: the key {MAIL}tasks is no hash" in host.log()
    assert "queues: default, bulk;" in host.log()
    assert host.terminate() == 0


def test_a_host_that_could_serve_no_queue_does_not_start(start: Start, room: Room) -> None:
    room.redis.set(keys.key(MAIL, "QUEUE", "high"), "mine")
    host = start("queues", "--queues", "mail", ready=False)
    assert host.wait() == 3
    assert "error: no queue is left that this host could serve" in host.log()


@pytest.mark.parametrize("options", [[], ["-t", "3"]], ids=["a process", "threads"])
@pytest.mark.parametrize("name", [("QUEUE", "default"), ("WAKE", "")], ids=["a list", "a marker"])
def test_a_key_that_is_broken_at_work_stops_its_own_queue_only(
    start: Start, room: Room, options: list[str], name: tuple[str, str]
) -> None:
    host = start("queues", *options, processes=1)
    mail = work.options(queue="mail")
    assert mail.delay().get(timeout=20) == "mail"
    key = keys.key(MAIL, *name)
    room.redis.delete(key)
    room.redis.set(key, "mine")
    if name[0] == "QUEUE":
        room.redis.zadd(keys.key(MAIL, "WAKE"), {"w": 0})  # somebody asks for what is in the list
        host.await_log("queue mail: WRONGTYPE")
    for _ in range(3):
        assert work.delay().get(timeout=20) == "default"
    room.redis.delete(key)
    assert mail.delay().get(timeout=20) == "mail"
    assert host.log().count("WRONGTYPE") < 10, "it says so once a minute"
    assert host.terminate() == 0


def test_a_host_ends_beside_a_broken_queue(start: Start, room: Room) -> None:
    host = start("queues", processes=1)
    room.redis.set(keys.key(MAIL, "QUEUE", "default"), "mine")
    assert work.delay().get(timeout=20) == "default"
    assert host.terminate() == 0


def test_a_host_that_may_not_wait_for_markers_says_so_and_does_not_spin(start: Start, room: Room) -> None:
    room.redis.execute_command("ACL", "SETUSER", "deaf", "on", ">secret", "~*", "+@all", "-bzpopmin")
    try:
        host = start("queues", processes=1, broker=room.url.replace("unix://", "unix://deaf:secret@"))
        said = "the user of this address may not send BZPOPMIN; ACL SETUSER … +bzpopmin"
        assert said in host.log()
        room.redis.config_resetstat()
        assert work.delay().get(timeout=20) == "default"
        assert work.delay().get(timeout=20) == "default"
        calls = int(room.redis.info("commandstats")["cmdstat_evalsha"]["calls"])
        assert calls < 200, "it asks now and then"
        assert host.log().count("refuses to tell of new tasks") == 1
        assert host.terminate() == 0
    finally:
        room.redis.acl_deluser("deaf")


def test_broken_and_forbidden_is_mended_by_what_is_said(start: Start, room: Room) -> None:
    room.redis.execute_command("ACL", "SETUSER", "narrow", "on", ">secret", "~distq:queues", "~distq:{app/*", "+@all")
    room.redis.execute_command("ACL", "SETUSER", "narrow", "-rpush", "-blmove")
    try:
        host = start("queues", processes=1, broker=room.url.replace("unix://", "unix://narrow:secret@"))
        assert "may not send BLMOVE, RPUSH; ACL SETUSER … +blmove +rpush" in host.log()
        room.redis.execute_command("ACL", "SETUSER", "narrow", "+blmove", "+rpush")
        assert work.delay().get(timeout=20) == "default"
        eventually(lambda: work.delay().get(timeout=20) == "default", "it works")
        assert host.terminate() == 0
    finally:
        room.redis.acl_deluser("narrow")
