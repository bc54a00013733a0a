"""`distq tasks show`, `cancel`, `queues`, `purge`: what is seen of each state, and which application is meant."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgpack
import pytest

from distq.broker import keys, memory
from distq.codec import Codec
from tests.cli.conftest import Shell, know
from tests.support.room import Room, buried, completed, retried, verdict


def shown(distq: Shell, id: str) -> dict[str, str]:
    """The facts in `tasks show`, as a person sees them."""
    facts, _, _ = distq("tasks", "show", id).out.partition("\n\n")
    lines = re.findall(r"^ *(\w[\w ]*?)  (.*)$", facts, re.M)
    return dict(lines)


# -- tasks show -----------------------------------------------------------------------------------------------------


def test_show_a_queued_task(distq: Shell, shop: Room) -> None:
    body = Codec().pack_call((1, [2]), {"to": "a@x"}, {"trace": "t1"})
    id = shop.enqueue("email", priority=2, body=body)
    facts = shown(distq, id)
    assert facts["id"] == id
    assert (facts["status"], facts["queue"], facts["type"], facts["priority"]) == (
        "queued",
        "default",
        "email",
        "high",
    )
    assert (facts["args"], facts["kwargs"], facts["headers"]) == ("[1, [2]]", '{"to": "a@x"}', '{"trace": "t1"}')
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", facts["enqueued at"])
    data = distq("tasks", "show", id, "--json").json
    assert data["args"] == [1, [2]]
    assert data["attempts"] == []
    assert data["expires_at_ms"] is None
    assert abs(data["enqueued_at_ms"] - shop.now_ms()) < 60_000


def test_show_a_running_task_and_who_runs_it(distq: Shell, shop: Room) -> None:
    id, worker = shop.enqueue(), shop.register()
    shop.hold(worker, id)
    assert (shown(distq, id)["status"], shown(distq, id)["worker"]) == ("running", worker.name)


def test_show_how_far_a_running_task_is(distq: Shell, shop: Room) -> None:
    id, worker = shop.enqueue(), shop.register()
    shop.hold(worker, id)
    raw = msgpack.packb([2500, 10_000, "indexing\x1b[31m", 1_764_000_000.0])
    shop.run(memory.checkpoint(shop.prefix, worker.name, id.encode(), {memory.PROGRESS: raw}))
    assert shown(distq, id)["progress"].startswith("2,500 of 10,000 (25%): indexing\\x1b[31m, at 2025-11-24 ")
    said = {"done": 2500, "total": 10_000, "text": "indexing\x1b[31m", "at": 1_764_000_000_000}
    assert distq("tasks", "show", id, "--json").json["progress"] == said
    shop.run(memory.checkpoint(shop.prefix, worker.name, id.encode(), {memory.PROGRESS: b"\xc1 what somebody wrote"}))
    assert "progress" not in shown(distq, id)


def test_show_what_a_failed_attempt_had_logged(distq: Shell, shop: Room) -> None:
    id, worker = shop.enqueue(), shop.register()
    shop.hold(worker, id)
    record = {
        "outcome": "raised",
        "type": "E",
        "attempt": 1,
        "log": "10:00:00 INFO shop: first\n10:00:01 INFO shop: last",
    }
    shop.step(worker, 0, [verdict(id, "bury", blob=msgpack.packb(record))])
    out = distq("tasks", "show", id).out
    assert "logged  10:00:00 INFO shop: first\n" in out
    assert "        10:00:01 INFO shop: last\n" in out


def test_show_a_scheduled_task_and_when_it_is_due(distq: Shell, shop: Room) -> None:
    id = shop.enqueue(delay=3_600_000)
    data = distq("tasks", "show", id, "--json").json
    assert data["status"] == "scheduled"
    assert 3_600_000 <= data["due_at_ms"] - data["enqueued_at_ms"] <= 3_600_001
    assert "due at" in shown(distq, id)


def test_show_a_completed_task_and_its_result(distq: Shell, shop: Room) -> None:
    id, worker = shop.enqueue(), shop.register()
    shop.hold(worker, id)
    shop.step(worker, 0, [completed(id, {"ok": True})])
    assert shown(distq, id)["result"] == '{"ok": true}'
    data = distq("tasks", "show", id, "--json").json
    assert (data["status"], data["result"], data["seconds"]) == ("completed", {"ok": True}, 0.0)


def test_show_a_dead_task_with_every_attempt_and_the_traceback(distq: Shell) -> None:
    distq.host()
    id = distq("enqueue", "send_email", '"nobody"', "-Q", "mail").out.strip()
    distq("result", id, "--wait", "30s", code=1)
    out = distq("tasks", "show", id).out
    facts = shown(distq, id)
    assert facts["error"] == "ValueError: no address: nobody"
    assert "Traceback (most recent call last):" in out
    assert 'raise ValueError(f"no address: {to}")' in out
    attempts = re.findall(r"raised +attempt (\d), ValueError: no address: nobody", out)
    assert attempts == ["1", "2"]
    data = distq("tasks", "show", id, "--json").json
    assert (data["status"], data["queue"]) == ("dead", "mail")
    assert (data["error"]["type"], data["error"]["message"]) == ("ValueError", "no address: nobody")
    assert [attempt["attempt"] for attempt in data["attempts"]] == [1, 2]
    assert distq("dlq", "show", id, "--json").json == data


def test_show_a_cancelled_task(distq: Shell, shop: Room) -> None:
    id = shop.enqueue()
    shop.cancel(id)
    facts = shown(distq, id)
    assert facts.pop("ended at")
    assert facts == {"id": id, "status": "cancelled", "queue": "default", "by": "test"}


def test_show_a_message_that_cannot_be_read(distq: Shell, shop: Room) -> None:
    broken, garbled = shop.enqueue(), shop.enqueue(body=b"\xc1\xc1")
    shop.redis.hset(shop.key("TASKS"), broken, b"nonsense")
    assert "not a message" in shown(distq, broken)["corrupt"]
    assert shown(distq, garbled)["corrupt"]
    assert distq("tasks", "show", broken, "--json").json["status"] == "queued"
    shop.redis.hdel(shop.key("TASKS"), broken)


def test_show_an_unknown_task_is_exit_code_1(distq: Shell, shop: Room) -> None:
    done = distq("tasks", "show", "default.0123456789abcdef0123", code=1)
    assert done.err.startswith("error: no task default.0123456789abcdef0123 is known")
    assert distq("tasks", "show", "two words", code=2).err.startswith("error: id='two words' cannot be an id")


# -- cancel ---------------------------------------------------------------------------------------------------------


def test_cancel_ends_what_waits_and_says_why_not_of_the_rest(distq: Shell, shop: Room) -> None:
    runs, worker = shop.enqueue(), shop.register()
    shop.hold(worker, runs)
    queued, scheduled = shop.enqueue(), shop.enqueue(delay=3_600_000)
    assert distq("cancel", scheduled).out == f"{scheduled} cancelled\n"
    assert re.fullmatch(r"cli \S+@\S+", shown(distq, scheduled)["by"])
    done = distq("cancel", queued, runs, "nobody", "--json", code=1).json
    assert done == [
        {"id": queued, "cancelled": True, "status": "cancelled"},
        {"id": runs, "cancelled": False, "status": "running"},
        {"id": "nobody", "cancelled": False, "status": "unknown"},
    ]
    assert distq("cancel", runs, code=1).out == f"{runs} not cancelled: it is running\n"
    assert (shop.where(queued), shop.where(runs), shop.where(scheduled)) == ("cancelled", "active", "cancelled")


# -- queues ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def busy(shop: Room, mail: Room) -> Room:
    """A queue with something in every place: 3 high, 2 default, 1 low, 4 scheduled, 1 running, 1 dead, 1 worker."""
    worker = shop.register(["job"])
    dead = shop.enqueue()
    shop.hold(worker, dead)
    shop.step(worker, 0, [buried(dead)])
    shop.hold(worker, shop.enqueue())
    for priority, number in ((2, 3), (1, 2), (0, 1)):
        for _ in range(number):
            shop.enqueue(priority=priority)
    for _ in range(4):
        shop.enqueue(delay=3_600_000)
    return shop


def test_queues_counts_what_is_where(distq: Shell, busy: Room) -> None:
    first, second, *rows = distq("queues").out.splitlines()
    assert first == f"shop at {busy.url}"
    assert second.split() == ["queue", "high", "default", "low", "scheduled", "running", "dead", "workers"]
    assert [row.split() for row in rows] == [
        ["default", "3", "2", "1", "4", "1", "1", "1"],
        ["mail", "0", "0", "0", "0", "0", "0", "0"],
    ]
    data = distq("queues", "--json").json
    assert [queue["queue"] for queue in data] == ["default", "mail"]
    assert (data[0]["high"], data[0]["live"], data[0]["workers"]) == (3, 11, 1)
    assert all(isinstance(value, int) for key, value in data[0].items() if key != "queue")


# -- purge ----------------------------------------------------------------------------------------------------------


def test_purge_cancels_what_waits_and_leaves_the_rest(distq: Shell, busy: Room) -> None:
    assert distq("purge", "default", "--dry-run").out == "would cancel 10 tasks of default\n"
    assert distq("purge", "default", "--priority", "2", "--dry-run", "--json").json == {
        "queue": "default",
        "would_cancel": 3,
    }
    assert busy.redis.hlen(busy.key("TASKS")) == 11
    assert distq("purge", "default", "--priority", "low", "--yes").out == "cancelled 1 task of default\n"
    assert distq("purge", "default", "--scheduled", "--yes", "--json").json == {"queue": "default", "cancelled": 4}
    assert distq("purge", "default", "--yes").out == "cancelled 5 tasks of default\n"
    after = distq("queues", "--json").json[0]
    assert (after["high"], after["default"], after["scheduled"], after["running"], after["dead"]) == (0, 0, 0, 1, 1)


def test_purge_asks_first(distq: Shell, busy: Room) -> None:
    no = distq("purge", "default", stdin="n\n", code=1)
    assert "Cancel 10 tasks of queue default (high, default, low, scheduled)? [y/N]" in no.err
    assert no.err.endswith("nothing was changed\n")
    assert no.out == ""
    assert distq("purge", "default", code=1).out == "", "nobody there to answer"
    assert distq("purge", "default", "--json", code=2).err == "error: with --json nobody can be asked: add --yes\n"
    assert busy.redis.hlen(busy.key("TASKS")) == 11
    assert distq("purge", "default", stdin="y\n").out == "cancelled 10 tasks of default\n"
    assert distq("purge", "default").out == "cancelled 0 tasks of default\n", "nothing to ask about"


def test_purge_needs_a_queue_that_there_is(distq: Shell, shop: Room, mail: Room) -> None:
    assert distq("purge", code=2).err.startswith("error: missing argument 'QUEUE'")
    done = distq("purge", "mial", "--yes", code=2)
    assert done.err == "error: no queue 'mial' (did you mean `mail`?); there are: default, mail\n"
    assert "give one of them" in distq("purge", "mail", "--scheduled", "--priority", "low", code=2).err


# -- which application ----------------------------------------------------------------------------------------------


@pytest.fixture
def second(url: str) -> Iterator[Room]:
    room = Room(url, "bakery")
    know(room)
    yield room
    room.close()


def test_without_any_application_it_says_so(distq: Shell, url: str) -> None:
    for command in (["queues"], ["result", "x"], ["dlq", "list"], ["enqueue", "add"]):
        assert distq(*command, code=2).err == (
            f"error: no application has used {url} yet; name one with --app or --name\n"
        )


def test_an_application_that_left_nothing_but_its_name_is_not_asked_for(distq: Shell, shop: Room, second: Room) -> None:
    second.enqueue("bread")
    assert distq("queues").out.startswith("bakery at ")


def test_of_several_applications_one_has_to_be_chosen(distq: Shell, shop: Room, second: Room) -> None:
    id = second.enqueue("bread")
    shop.enqueue("add")
    done = distq("queues", code=2)
    assert done.err == (
        f"error: several applications are on {shop.url}: bakery, shop; choose with --name ($DISTQ_NAME) or --app\n"
    )
    assert distq("queues", "--json", env={"DISTQ_NAME": "bakery"}).json[0]["default"] == 1
    assert distq("queues", "--name", "bakery", "--json").json[0]["default"] == 1
    assert distq("queues", "--app", "myapp:app", "--json").json[0]["default"] == 1
    assert distq("queues", env={"DISTQ_APP": "myapp:app"}).out.startswith("shop at ")
    assert distq("result", id, "--name", "bakery", code=6).err == f"not there yet: {id} is queued\n"
    assert distq("result", id, "--name", "shop", code=1).err.startswith(f"error: no task {id} is known")
    wrong = distq("queues", "--name", "bakkery", code=2)
    assert "no application 'bakkery' on" in wrong.err
    assert "(did you mean `bakery`?); there are: bakery, shop" in wrong.err
    both = distq("queues", "--name", "bakery", "--app", "myapp:app", code=2)
    assert "--name bakery: myapp:app (--app, $DISTQ_APP) is called shop" in both.err


def test_a_new_application_can_be_sent_to_by_name(distq: Shell, url: str) -> None:
    id = distq("enqueue", "add", "1", "--name", "fresh").out.strip()
    assert distq("queues", "--json").json[0]["default"] == 1
    assert distq("cancel", id).code == 0


def test_what_a_module_prints_is_no_output_of_the_command(distq: Shell, shop: Room) -> None:
    distq.write("loud.py", "print('hello from the import')\nfrom myapp import app\n")
    done = distq("queues", "--app", "loud:app", "--json")
    assert isinstance(done.json, list)
    assert "hello from the import" in done.err


def test_a_broker_given_by_option_wins(distq: Shell, shop: Room) -> None:
    for args in (["--broker", shop.url], ["--app", "myapp:app", "--broker", shop.url]):
        said = distq("queues", *args, env={"DISTQ_BROKER": "redis://127.0.0.1:1/0"})
        assert said.out.startswith(f"shop at {shop.url}")


def test_without_a_broker_every_command_says_what_to_do(outside: Shell) -> None:
    for command in (["queues"], ["enqueue", "echo"], ["dlq", "replay", "--all"], ["tasks", "show", "x"]):
        for app in ([], ["--app", "myapp:app"]):
            done = outside(*command, *app, "--broker", "redis://127.0.0.1:1/0", "--json", code=3)
            assert done.err.startswith("error: no broker at redis://127.0.0.1:1/0: ")
            assert done.err.count("no broker at") == 1
            assert done.err.endswith("; `distq dev` brings its own\n")
            assert done.out == ""


def test_names_that_are_none_do_no_harm(distq: Shell, shop: Room) -> None:
    """Anybody who can write to the broker can put anything there."""
    shop.redis.sadd(keys.KNOWN_QUEUES, b"shop/\x1b[31mred", b"shop/a b", b"\xff/\xff", b"noslash")
    done = distq("queues", "--name", "shop")
    assert "\x1b" not in done.out
    assert "\x1b" not in distq("queues", code=2).err
    assert distq("dlq", "list", "--name", "shop").out == "no dead tasks\n"
    assert distq("cancel", shop.enqueue(), "--name", "shop").code == 0


def test_a_retried_task_shows_its_attempt(distq: Shell, shop: Room) -> None:
    id, worker = shop.enqueue(), shop.register()
    shop.hold(worker, id)
    shop.step(worker, 0, [retried(id, delay_ms=3_600_000)])
    facts = shown(distq, id)
    assert (facts["status"], facts["attempt"]) == ("scheduled", "2")
