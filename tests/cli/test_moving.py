"""`distq tasks cancel`, `reschedule`: all that a filter means, asked before it is done, and what is said of it."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys

import pytest

from distq.broker.scripts import script
from distq.message import new_ids
from tests.cli.conftest import Shell
from tests.support.eventually import eventually
from tests.support.room import Room

HOUR = 3_600_000


def test_it_is_shown_and_asked_before_it_is_done(distq: Shell, shop: Room, mail: Room) -> None:
    ids = [shop.enqueue("email") for _ in range(3)] + [mail.enqueue("email", delay=HOUR)]
    other, running, worker = shop.enqueue("report"), shop.enqueue("email", priority=2), shop.register(["email"])
    assert shop.step(worker, 1).entries == [running.encode()]
    said = distq("tasks", "cancel", "type:email", "--dry-run").out.splitlines()
    assert said[0].split()[:5] == ["id", "type", "state", "priority", "called"]
    assert {line.split()[0] for line in said[1:5]} == set(ids)
    assert said[5:] == ["would cancel 4 tasks", "left as it is: 1 running already"]
    data = distq("tasks", "cancel", "type:email", "queue:default", "--dry-run", "--json").json
    assert (data["would_cancel"], data["left"], len(data["examples"])) == (3, {"running": 1}, 3)
    refused = distq("tasks", "cancel", "type:email", stdin="n\n", code=1).err
    assert "Cancel 4 tasks? [y/N]" in refused
    assert "nothing was changed" in refused
    assert "--yes" in distq("tasks", "cancel", "type:email", "--json", code=2).err
    assert distq("tasks", "cancel", "type:email", stdin="y\n").out.splitlines()[0] == "cancelled 4 tasks"
    assert [shop.where(id) for id in ids[:3]] == ["cancelled"] * 3
    assert shop.where(other) == "queued"
    assert distq("tasks", "cancel", "type:email", "--running", "--yes", "--json").json == {"cancelled": 1, "left": {}}
    assert distq("tasks", "cancel", "type:nobody").out == "cancelled 0 tasks\n"


def test_another_queue(distq: Shell, shop: Room, mail: Room) -> None:
    ids, limited = [shop.enqueue("email") for _ in range(60)], shop.enqueue("report", limit="1000 5")
    there = mail.enqueue("email")
    assert distq("tasks", "move", "all", "--queue", "mail", "--dry-run").out.splitlines()[-1] == "would move 62 tasks"
    said = distq("tasks", "move", "all", "--queue", "mail", "--priority", "high", "--yes").out.splitlines()
    assert said == [
        "moved 61 tasks",
        "left as it is: 1 with limits, an order or a name that hold for their own queue only",
    ]
    assert {(mail.where(id), mail.head(id).priority) for id in [*ids, there]} == {("queued", 2)}
    assert shop.where(limited) == "queued"
    assert "did you mean `mail`" in distq("tasks", "move", "all", "--queue", "mial", "--yes", code=2).err
    assert distq("tasks", "show", ids[0], "--json").json["queue"] == "mail"
    assert distq("cancel", ids[0]).out == f"{ids[0]} cancelled\n"


def test_time_and_priority_are_changed(distq: Shell, shop: Room) -> None:
    ids = [shop.enqueue(priority=n % 3) for n in range(30)]
    short = shop.enqueue(expires_in=HOUR)
    said = distq("tasks", "reschedule", "type:job", "--delay", "2h", "--priority", "low", "--yes").out.splitlines()
    assert said == ["rescheduled 30 tasks", "left as it is: 1 would expire before that"]
    assert {(shop.where(id), shop.head(id).priority) for id in ids} == {("scheduled", 0)}
    data = distq("tasks", "reschedule", "all", "--eta", "2020-01-01T00:00Z", "--yes", "--json").json
    assert data == {"rescheduled": 31, "left": {}}
    assert {shop.where(id) for id in [*ids, short]} == {"queued"}


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["cancel", "email"], "no condition"),
        (["cancel", "state:dead"], "distq dlq"),
        (["cancel", "queue:nope", "--yes"], "no queue 'nope'"),
        (["reschedule", "all"], "--delay, --eta or --priority"),
        (["reschedule", "all", "--delay", "soon"], "--delay 'soon'"),
        (["reschedule", "all", "--delay", "1s", "--eta", "2020-01-01T00:00Z"], "twice"),
        (["reschedule", "all", "--eta", "noon"], "--eta 'noon' is no time"),
        (["reschedule", "all", "--priority", "urgent"], "--priority 'urgent'"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_changed(distq: Shell, shop: Room, args: list[str], why: str) -> None:
    id = shop.enqueue()
    assert why in distq("tasks", *args, code=2).err
    assert shop.where(id) == "queued"


def test_who_interrupts_it_is_told_how_far_it_came(distq: Shell, shop: Room) -> None:
    """On a terminal its progress is seen."""
    for _ in range(3):
        shop.wire.run_script(script("enqueue"), shop.enqueue_many_bytes(new_ids("default", 1000)))
    main, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "distq", "tasks", "cancel", "all", "--yes"],
        cwd=distq.folder, env=distq.environ, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    eventually(lambda: shop.redis.hlen(shop.key("TASKS")) < 2300, "it has come some way")
    process.send_signal(signal.SIGINT)
    said = b""
    while chunk := _read(main):
        said += chunk
    code, left = process.wait(30), shop.redis.hlen(shop.key("TASKS"))
    assert b"looked at" in said
    assert b"Traceback" not in said
    if code == 130:
        assert b"cancelled so far" in said
        assert shop.ledger()["cancelled job"] == 3000 - left
    else:
        assert (code, left) == (0, 0), "it was quicker"


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # nobody is there any more
        return b""
