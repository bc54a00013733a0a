"""why: every gate that keeps a task back names itself, with its numbers."""

from __future__ import annotations

import re
from typing import Any

import msgpack
import pytest

from distq import Distq, Why
from distq.broker import verbs
from tests.broker.test_flow import TYPES, flow, make
from tests.support.room import Room, buried, completed, retried, verdict
from tests.support.switch import override, pause

HOUR = 3600_000_000


@pytest.fixture
def app(room: Room) -> Distq:
    return Distq(room.app, room.url)


def names(found: Why) -> list[str]:
    return [gate.name for gate in found.gates]


def says(found: Why, name: str, pattern: str) -> dict[str, Any]:
    """This gate has such a text; its numbers."""
    (gate,) = [gate for gate in found.gates if gate.name == name]
    assert re.fullmatch(pattern, gate.text), gate.text
    return dict(gate.facts)


def test_nothing_keeps_it_back(room: Room, app: Distq) -> None:
    id = room.enqueue()
    room.register()
    found = app.why(id)
    assert (found.state, found.type, found.queue, found.priority) == ("queued", "job", "default", "default")
    assert names(found) == ["ready"]
    assert re.fullmatch(r"waiting .*s: nothing keeps it back: a worker takes it now", found.text)


def test_it_changes_nothing(room: Room, app: Distq) -> None:
    ids = make(room, 3, "a", flow=flow(mk=1, m=2, r=f"{HOUR} 1"), limit=f"{HOUR} 1")
    worker = room.register(TYPES, limits={"job": f"{HOUR} 1"}, flows={"job": {"mk": 1, "m": 2, "r": f"{HOUR} 1"}})
    room.step(worker)
    before = room.snapshot()
    for id in [*ids, "nobody"]:
        app.why(id)
    assert room.snapshot() == before


def test_no_worker_is_alive(room: Room, app: Distq) -> None:
    id = room.enqueue()
    says(app.why(id), "no_worker", "no worker of this queue is alive")


def test_none_runs_its_type(room: Room, app: Distq) -> None:
    id = room.enqueue("pdf")
    room.register()
    says(app.why(id), "unknown_type", "1 worker listens to this queue, and does not run type pdf")
    room.register()
    facts = says(app.why(id), "unknown_type", "2 workers listen to this queue, and none runs type pdf")
    assert (facts["alive"], facts["know"]) == (2, 0)


def test_it_is_parked(room: Room, app: Distq) -> None:
    id = room.enqueue("pdf")
    worker = room.register()
    room.hold(worker, id)
    room.step(worker, want=0, verdicts=[verdict(id, "park", type="pdf", number=86_400_000)])
    says(
        app.why(id), "unknown_type", r"1 worker .* type pdf: it is a dead letter in 2[34] h.* if none comes|.*in 1 d.*"
    )


def test_all_who_could_are_busy(room: Room, app: Distq) -> None:
    first, second = room.enqueue(), room.enqueue()
    worker = room.register()
    room.step(worker, want=1)
    assert app.why(first).state == "running"
    says(app.why(second), "busy", "the one worker that runs it is busy with 1 task")
    other = room.register()
    room.step(other, want=1)
    third = room.enqueue()
    facts = says(app.why(third), "busy", "all 2 workers that run it are busy with 2 tasks")
    assert (facts["can"], facts["idle"]) == (2, 0)


def test_nobody_takes_anything_new(room: Room, app: Distq) -> None:
    id = room.enqueue()
    room.register(takes="nothing")
    says(app.why(id), "quiet", "none of the 1 workers that run type job takes anything new")


def test_it_runs(room: Room, app: Distq) -> None:
    ids = [room.enqueue() for _ in range(3)]
    worker = room.register()
    room.step(worker)
    found = app.why(ids[1])
    assert (found.state, found.waiting) == ("running", 0)
    assert says(found, "running", rf"worker {worker.name} has it \(number 2 of 3 that it has taken\)")["before"] == 1
    room.pass_time(20_000)
    says(app.why(ids[1]), "worker_lost", r"nobody has heard of that worker for 5.* s: any host .*")


def test_it_was_told_to_end(room: Room, app: Distq) -> None:
    id = room.enqueue()
    room.hold(room.register(), id)
    room.run(verbs.cancel(room.prefix, id, "ann", "running"))
    says(app.why(id), "told_to_end", "ann has told it to end")


def test_some_are_ahead_of_it(room: Room, app: Distq) -> None:
    ids = [room.enqueue() for _ in range(5)]
    room.enqueue(priority=2)
    room.register()
    found = app.why(ids[3])
    assert says(found, "ahead", "3 ahead of it") == {"ahead": 3}
    says(found, "priority", "1 of a higher priority come first")
    room.register(weights="8 3 1")
    shares = "1 of a higher priority wait, too; they share the queue: high 8, default 3, low 1"
    says(app.why(ids[3]), "priority", shares)


def test_more_than_can_be_counted_are_ahead_of_it(room: Room, app: Distq) -> None:
    room.redis.rpush(room.key("QUEUE", "default"), *[f"ghost {n}" for n in range(10_001)])
    id = room.enqueue()
    says(app.why(id), "ahead", "more than 10,000 ahead of it")
    room.redis.ltrim(room.key("QUEUE", "default"), -1, -1)


def test_it_is_scheduled(room: Room, app: Distq) -> None:
    id = room.enqueue(delay=41_000)
    room.register()
    found = app.why(id)
    assert found.state == "scheduled"
    says(found, "scheduled", r"scheduled for \d\d:\d\d:\d\d|scheduled for .* \(in 4[01].* s\)")
    says(found, "no_keeper", "no worker host is alive that would see to it at that time")
    room.tick()
    assert names(app.why(id)) == ["scheduled"]


def test_its_next_attempt_is_scheduled(room: Room, app: Distq) -> None:
    id = room.enqueue()
    worker = room.register()
    room.hold(worker, id)
    room.step(worker, want=0, verdicts=[retried(id, 30_000)])
    assert says(app.why(id), "scheduled", r"attempt 2 comes at .* \(in .* s\)")["attempt"] == 2


def test_its_queue_its_type_and_its_key_are_paused(room: Room, app: Distq) -> None:
    id = make(room, 1, "7", flow=flow(mk=1))[0]
    room.register(TYPES, flows={"job": {"mk": 1}})
    pause(room, "job", "7")
    says(app.why(id), "key_paused", r"key 7 of type job is paused by ann since \d\d:\d\d:\d\d")
    pause(room, "job", who="bob")
    says(app.why(id), "type_paused", r"type job is paused by bob since .*")
    pause(room, who="cleo")
    facts = says(app.why(id), "queue_paused", r"queue default is paused by cleo since .*")
    assert facts["by"] == "cleo"
    assert abs(facts["since_ms"] - room.now_ms()) < 60_000
    assert names(app.why(id))[:3] == ["queue_paused", "type_paused", "key_paused"]


def test_its_type_is_limited(room: Room, app: Distq) -> None:
    ids = [room.enqueue(limit=f"{HOUR} 1") for _ in range(4)]
    worker = room.register(limits={"job": f"{HOUR} 1"})
    room.step(worker)
    found = app.why(ids[-1])
    facts = says(found, "rate", r"type job is limited to 1/h, next token in (1 h|\d+ min.*)")
    assert 3_500_000 < facts["next_in_ms"] <= 3_600_000
    says(found, "ahead", "2 ahead of it")


def test_what_is_set_is_said_with_what_is_declared(room: Room, app: Distq) -> None:
    ids = [room.enqueue() for _ in range(2)]
    worker = room.register(["job"], limits={"job": "100000 1"})
    override(room, "job", {"rate": f"{HOUR / 6:g} 1"})
    room.step(worker)
    room.step(worker)
    says(
        app.why(ids[1]), "rate",
        r"type job is limited to 6/h, next token in .* \(set by ann at \d\d:\d\d:\d\d; declared: 10/s\)",
    )  # fmt: skip


def test_enough_of_its_type_and_key_run(room: Room, app: Distq) -> None:
    first = make(room, 2, "a", flow=flow(m=2, mk=2))
    b = make(room, 1, "b", flow=flow(m=2, mk=2))[0]
    a = make(room, 1, "a", flow=flow(m=2, mk=2))[0]
    worker = room.register(TYPES, flows={"job": {"m": 2, "mk": 2}})
    room.step(worker)
    assert says(app.why(b), "max_running", "type job has 2 of 2 running")["running"] == 2
    found = app.why(a)
    facts = says(found, "max_running_per_key", "key a has 2 of 2 running")
    assert sorted(facts["who"]) == sorted(first)


def test_it_comes_after_an_earlier_one_of_its_key(room: Room, app: Distq) -> None:
    first, second = make(room, 2, "a", flow=flow(o=1))
    worker = room.register(TYPES, flows={"job": {"o": 1}})
    room.step(worker)
    says(app.why(second), "ordered", f"key a runs in order: {first} comes before it, and runs")
    room.step(worker, verdicts=[retried(first, 60_000)])
    pattern = rf"key a runs in order: {first} comes before it, and waits for attempt 2 until \S+.* \(in .*\)"
    assert says(app.why(second), "ordered", pattern)["id"] == first


def test_the_only_place_is_taken(room: Room, app: Distq) -> None:
    first, second = make(room, 2, "a", flow=flow(m=1))
    worker = room.register(TYPES, flows={"job": {"m": 1}})
    room.step(worker)
    says(app.why(second), "max_running", f"type job has 1 of 1 running: {first}")


def test_its_batch_fills(room: Room, app: Distq) -> None:
    policy = {"n": 5, "w": 60_000}
    id = make(room, 3, "", flow=flow(**policy))[1]
    worker = room.register(TYPES, flows={"job": policy})
    room.step(worker)
    facts = says(app.why(id), "batch", r"its batch has 3 of 5 items, and starts in .* at the latest")
    assert (facts["items"], facts["size"]) == (3, 5)
    room.pass_time(60_001)
    assert "batch" not in names(app.why(id))


def test_it_is_debounced_and_unique(room: Room, app: Distq) -> None:
    @app.task(type="job", unique="doc", debounce="1m", debounce_max="1h")
    def job(doc: str) -> None: ...

    id = job.delay("7").id
    room.register()
    found = app.why(id)
    text = r"it is debounced: each further call moves that time to .* from then, to \S+.* at most"
    assert says(found, "debounced", text)["debounce_ms"] == 60_000
    assert (
        says(found, "unique", "it is unique: until it starts, calls of its name.* mean this one")["until"] == "starts"
    )


def test_those_that_listen_lack_the_tag(room: Room, app: Distq) -> None:
    @app.task(type="pdf", needs="gpu")
    def pdf() -> None: ...

    id = pdf.delay().id
    room.register()
    text = "1 worker listens to this queue, and it does not have the tag gpu that type pdf needs: start .* --tag gpu"
    says(app.why(id), "needs", text)


def test_a_newer_release_has_sent_it(room: Room, app: Distq) -> None:
    id = room.enqueue()
    raw = room.redis.hget(room.key("TASKS"), id)
    room.redis.hset(room.key("TASKS"), id, raw[:23] + b"\x03" + raw[24:])
    room.register()
    text = "1 worker listens to this queue, and it does not read messages of version 3: a newer release has sent it"
    says(app.why(id), "newer_message", text)


def test_its_key_is_limited(room: Room, app: Distq) -> None:
    rate = {"r": f"{HOUR} 1"}
    ids = make(room, 2, "a", flow=flow(**rate))
    worker = room.register(TYPES, flows={"job": rate})
    room.step(worker)
    says(app.why(ids[1]), "rate_per_key", r"key a is limited to 1/h, next token in .*")


def test_other_keys_have_their_turn_before(room: Room, app: Distq) -> None:
    for key in "abc":
        make(room, 2, key, flow=flow(f=1))
    last = make(room, 2, "z", flow=flow(f=1))[1]
    room.register(TYPES, flows={"job": {"f": 1}})
    found = app.why(last)
    says(found, "turn", "it waits for its turn: 3 keys before it")
    says(found, "ahead", "1 of key z ahead of it")


def test_a_budget_is_used_up_or_parked(room: Room, app: Distq) -> None:
    now = room.now_ms()
    room.redis.hset(room.key("BUDGETS"), "openai", msgpack.packb(["60000000 10"]))
    id = make(room, 1, {"k": "", "b": [["openai", "me", 3]]}, flow=flow(m=5))[0]
    room.register(TYPES, flows={"job": {"m": 5}})
    assert not [name for name in names(app.why(id)) if name.startswith("budget")]
    room.redis.set(room.key("BUCKET", "openai!1 me"), str((now + 600_000) * 1000), px=600_000)
    facts = says(app.why(id), "budget", r"budget openai of me is limited to 1/m burst 10, enough for it in .*")
    assert facts["cost"] == 3
    room.redis.set(room.key("BUCKET", "openai! me"), str(now + 30_000), px=30_000)
    says(app.why(id), "budget_parked", r"budget openai of me is parked, it goes on in (29|30).* s")


def test_it_is_suspected(room: Room, app: Distq) -> None:
    id = room.enqueue()
    worker = room.register()
    room.step(worker)
    room.recover(worker, "died", started=[id.encode()])
    room.register()
    says(app.why(id), "suspect", r"a process that ran it has died \(1 died with it alone\): it runs alone, .*")


def test_it_is_isolated(room: Room, app: Distq) -> None:
    id = room.enqueue()
    for _ in range(2):
        worker = room.register()
        room.step(worker)
        room.recover(worker, "lost")
    says(app.why(id), "isolated", r"its host was lost with it more than once: it runs alone, .*")


def test_it_expires(room: Room, app: Distq) -> None:
    id = room.enqueue(expires_in=60_000)
    assert 0 < says(app.why(id), "expires", r"it expires in .*")["expires_in_ms"] <= 60_000


def test_somebody_has_deleted_its_list(room: Room, app: Distq) -> None:
    id = room.enqueue()
    room.register()
    room.redis.delete(room.key("QUEUE", "default"))
    says(app.why(id), "lost", r"it is in no list, as if keys had been deleted: `distq audit --repair` puts it back")
    room.redis.rpush(room.key("QUEUE", "default"), id)


def test_what_has_ended_says_how(room: Room, app: Distq) -> None:
    done, dead, cancelled, expired = (room.enqueue() for _ in range(4))
    worker = room.register()
    room.step(worker, want=2)
    room.step(worker, want=0, verdicts=[completed(done), buried(dead)])
    room.cancel(cancelled)
    room.run(verbs.purge(room.prefix, "default", "purge"))
    says(app.why(done), "completed", r"it is completed since .*")
    says(app.why(dead), "dead", r"it is a dead letter \(E: .*\).*")
    says(app.why(cancelled), "cancelled", r"it was cancelled by test since \d\d:.*")
    says(app.why(expired), "cancelled", r"it was cancelled by purge since .*")
    room.forget_result(dead)
    assert app.why(dead).state == "dead"
    room.forget_result(done)
    assert app.why(done).state == "unknown"
    says(app.why("nobody"), "unknown", "no task of this id is known: .*")
