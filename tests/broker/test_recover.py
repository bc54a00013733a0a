"""recover: what a worker held comes back when it left, died or was lost; poison pays alone."""

from __future__ import annotations

from collections.abc import Callable

import msgpack
import pytest

from distq import message
from distq.broker import verbs
from distq.broker.scripts import script
from distq.broker.verdicts import Verdicts
from tests.support import states
from tests.support.arrows import arrow
from tests.support.model import ISOLATION
from tests.support.room import LEASE_MS, Room, Worker, completed, retried, verdict

RECORD = msgpack.packb({"outcome": "killed", "type": "WorkerDied"})


def hold(room: Room, number: int = 1) -> tuple[list[str], Worker]:
    ids, worker = [room.enqueue() for _ in range(number)], room.register()
    room.step(worker, number)
    return ids, worker


@arrow("active", "queued", "recover")
def test_a_worker_that_leaves_gives_back_in_order_and_nothing_is_charged(room: Room) -> None:
    ids, worker = hold(room, 3)
    recovery = room.recover(worker, "left")
    assert (recovery.released, recovery.suspected, recovery.charged) == (3, 0, 0)
    assert room.lists()[room.key("QUEUE", "default")] == ids
    assert not room.redis.exists(room.key("PROCESSING", worker.name), room.key("WORKER", worker.name))
    assert room.redis.zcard(room.key("LEASES")) == 0


def test_of_a_dead_worker_only_what_had_started_is_suspect(room: Room) -> None:
    ids, worker = hold(room, 3)
    recovery = room.recover(worker, "died", step=worker.number, started=[ids[1].encode(), ids[0].encode()])
    assert (recovery.released, recovery.suspected, recovery.charged) == (1, 2, 0)
    assert room.lists()[room.key("SUSPECTS", "default")] == ids[:2]
    assert room.lists()[room.key("QUEUE", "default")] == ids[2:]


def test_one_that_ran_alone_is_charged(room: Room) -> None:
    ids, worker = hold(room, 2)
    recovery = room.recover(worker, "died", step=worker.number, started=[ids[0].encode()], record=RECORD)
    assert (recovery.released, recovery.charged) == (1, 1)
    assert room.head(ids[0]).deliveries == 1
    assert room.head(ids[0]).attempt == 0
    assert room.head(ids[1]).deliveries == 0
    told = {"outcome": "killed", "type": "WorkerDied", "attempt": 1, "delivery": 1, "charged": True}
    assert room.attempts(ids[0]) == [told]


def test_a_suspect_is_reserved_singly_and_told_to_run_alone(room: Room) -> None:
    ids, worker = hold(room, 3)
    room.recover(worker, "died", step=worker.number, started=[ids[0].encode(), ids[1].encode()])
    other = room.register()
    step = room.step(other, 10)
    assert ([e.decode() for e in step.entries], step.alone) == ([ids[0]], True)
    step = room.step(other, 10, [completed(ids[0])])
    assert ([e.decode() for e in step.entries], step.alone) == ([ids[1]], True)


def test_a_suspect_that_completes_or_fails_properly_is_none_any_more(room: Room) -> None:
    ids, worker = hold(room, 2)
    room.recover(worker, "lost")
    other = room.register()
    room.step(other, 10)
    room.step(other, 10, [retried(ids[0], 0)])
    assert ids[0] in room.lists()[room.key("QUEUE", "default")]


@arrow("active", "dead", "recover")
def test_the_third_death_is_the_tasks_own(room: Room) -> None:
    id = room.enqueue()
    for death in range(3):
        worker = room.register()
        room.step(worker, 1)
        assert room.where(id) == "active"
        room.recover(worker, "died", step=worker.number, started=[id.encode()], record=RECORD)
        assert room.where(id) == ("dead" if death == 2 else "queued")
    assert room.attempts(id)[-1]["message"] == "killed its worker 3 times"
    assert room.head(id).attempt == 0


def test_one_delivery_means_at_most_once(room: Room) -> None:
    ids, worker = hold(room, 1)
    room.recover(worker, "died", step=worker.number, started=[ids[0].encode()], max_deliveries=1)
    assert room.where(ids[0]) == "dead"


def test_verdicts_that_it_left_behind_are_applied(room: Room) -> None:
    ids, worker = hold(room, 2)
    left = Verdicts(1, completed(ids[0], 7))
    room.recover(worker, "died", step=worker.number, started=[ids[1].encode()], verdicts=left)
    assert [room.where(id) for id in ids] == ["completed", "queued"]


def test_verdicts_of_an_older_step_are_not_applied_again(room: Room) -> None:
    """Its last step arrived although nobody saw the reply: what the board says is of the step before."""
    ids, worker = hold(room, 1)
    old_step = worker.number
    room.step(worker, 1, [retried(ids[0], 0)])
    recovery = room.recover(worker, "died", step=old_step, verdicts=Verdicts(1, completed(ids[0])))
    assert (recovery.released, recovery.charged) == (1, 0)
    assert room.where(ids[0]) == "queued"
    assert room.head(ids[0]).attempt == 1


def test_verdicts_that_no_step_has_carried_are_applied_whatever_the_last_step_was(room: Room) -> None:
    """With several threads some finish while a step is on its way: the board says how many of them it carried."""
    ids, worker = hold(room, 3)
    old_step = worker.number
    room.step(worker, 0, [retried(ids[0], 60_000)])
    left = Verdicts(2, retried(ids[0], 60_000) + completed(ids[1]))
    room.recover(worker, "died", step=old_step, doubtful=1, started=[ids[2].encode()], verdicts=left)
    assert [room.where(id) for id in ids] == ["scheduled", "completed", "queued"]
    assert room.head(ids[0]).attempt == 1
    assert room.head(ids[2]).deliveries == 1


def test_what_ran_beside_something_of_another_queue_is_suspect_and_not_charged(room: Room) -> None:
    ids, worker = hold(room, 1)
    recovery = room.recover(worker, "died", step=worker.number, started=[ids[0].encode()], ran=2)
    assert (recovery.suspected, recovery.charged) == (1, 0)


def test_what_is_lost_with_its_host_is_charged_only_when_it_was_alone_there(room: Room) -> None:
    """At the second time it is isolated: only who runs nothing else on its whole host is handed it."""
    id = room.enqueue()
    for deliveries, takes in ((0, "all"), (0, "all"), (1, "isolated"), (2, "isolated")):
        worker = room.register([ISOLATION] if takes == "isolated" else ["job"], takes=takes)  # type: ignore[arg-type]
        assert room.step(worker, 1).entries == [id.encode()]
        room.recover(worker, "lost", record=RECORD)
        assert (room.head(id).deliveries, room.head(id).attempt) == (deliveries, 0)
        assert room.attempts(id)[-1]["charged"] is (takes == "isolated")
    assert room.lists() == {room.key("LANE", f"default:{ISOLATION}"): [id]}
    assert room.step(room.register(takes="all"), 10).entries == []
    assert room.step(room.register(takes="suspects"), 10).entries == []


def test_the_only_worker_of_its_host_needs_nobody_to_make_room(room: Room) -> None:
    id = room.enqueue()
    for deliveries in (0, 1, 2):
        worker = room.register(takes="only")
        room.step(worker, 1)
        room.recover(worker, "lost")
        assert room.head(id).deliveries == deliveries


def test_isolated_tasks_wake_who_isolates_and_nobody_else(room: Room) -> None:
    ids, worker = hold(room, 3)
    room.recover(worker, "lost")
    worker = room.register()
    room.step(worker, 1)
    room.recover(worker, "lost")
    others = room.register()
    assert room.redis.exists(room.key("WAKE_GROUP", "isolated"))
    assert not room.redis.exists(room.key("WAKE_GROUP", others.digest))
    alone, waiting = room.register([ISOLATION], takes="isolated"), room.enqueue()
    step = room.step(alone, 1)
    assert step.entries == [ids[0].encode()]
    assert not room.redis.exists(room.key("WAKE_GROUP", "isolated"))
    assert room.step(alone, 1, [completed(ids[0])]).entries == [], "neither suspects nor sound ones"
    assert [room.where(id) for id in (*ids, waiting)] == ["completed", "queued", "queued", "queued"]


@pytest.mark.parametrize("end", [retried, lambda entry: verdict(entry, "snooze", number=0)])
def test_one_that_did_not_kill_its_host_is_as_any_other_again(room: Room, end: Callable[[str], bytes]) -> None:
    id = room.enqueue()
    for _ in range(2):
        worker = room.register()
        room.step(worker, 1)
        room.recover(worker, "lost")
    alone = room.register([ISOLATION], takes="isolated")
    room.step(alone, 1)
    room.step(alone, 1, [end(id)])
    room.pass_time(1000)
    assert room.step(room.register(), 10).entries == [id.encode()]
    assert room.head(id).flags == 0


# -- at most once ----------------------------------------------------------------------------------------------------


def careful(room: Room, number: int = 2) -> tuple[list[str], Worker]:
    """Held ones that must not be started twice."""
    ids = [message.new_id("default") for _ in range(number)]
    room.wire.run_script(script("enqueue"), room.enqueue_many_bytes(ids, most=1))
    worker = room.register()
    room.step(worker, number)
    return ids, worker


def reasons(room: Room, id: str) -> list[tuple[str, str]]:
    return [(record.get("type", ""), record.get("message", "")) for record in room.attempts(id)]


def test_at_most_once_what_was_started_is_dead_at_the_first_death_and_the_rest_goes_back(room: Room) -> None:
    ids, worker = careful(room, 3)
    crash = msgpack.packb({"outcome": "killed", "type": "WorkerDied", "message": "its worker was killed by SIGKILL"})
    started = {ids[0].encode(): crash, ids[1].encode(): crash}
    recovery = room.recover(worker, "died", step=worker.number, started=list(started), records=started)
    assert (recovery.released, recovery.charged, recovery.buried) == (1, 2, 2)
    assert [room.where(id) for id in ids] == ["dead", "dead", "queued"]
    assert reasons(room, ids[0]) == [
        ("WorkerDied", "its worker was killed by SIGKILL"),
        ("MayHaveRun", "may have run: its worker was killed by SIGKILL"),
    ]
    assert room.result(ids[0])[1]["message"] == "may have run: its worker was killed by SIGKILL"


def test_at_most_once_what_was_handed_to_a_lost_host_is_dead(room: Room) -> None:
    ids, worker = careful(room)
    ordinary = room.enqueue()
    room.step(worker, 1)
    crash = msgpack.packb({"outcome": "killed", "type": "HostLost", "message": "its host was lost"})
    assert room.recover(worker, "lost", record=crash).buried == 2
    assert [reasons(room, id)[-1] for id in ids] == [("MayHaveRun", "may have run: its host was lost")] * 2
    assert room.where(ordinary) == "queued"


def test_at_most_once_what_still_runs_when_the_grace_is_over_is_dead(room: Room) -> None:
    ids, worker = careful(room)
    crash = {ids[0].encode(): msgpack.packb({"message": "its host ended before it was done"})}
    recovery = room.recover(worker, "left", step=worker.number, started=list(crash), records=crash)
    assert (recovery.released, recovery.buried) == (1, 1)
    assert reasons(room, ids[0])[-1] == ("MayHaveRun", "may have run: its host ended before it was done")
    assert room.where(ids[1]) == "queued"


def test_at_most_once_a_replay_is_a_new_chance_and_no_second_one(room: Room) -> None:
    ids, worker = careful(room, 1)
    room.recover(worker, "lost")
    room.run(verbs.replay(room.prefix, ids))
    worker = room.register()
    assert room.step(worker).entries == [ids[0].encode()]
    room.recover(worker, "lost")
    assert room.where(ids[0]) == "dead"


def test_a_task_has_its_own_limit_of_deaths(room: Room) -> None:
    (id,) = ids = ["own"]
    room.wire.run_script(script("enqueue"), room.enqueue_many_bytes(ids, most=5, token="t"))
    for death in range(1, 6):
        worker = room.register()
        room.step(worker, 1)
        assert room.where(id) == "active"
        room.recover(worker, "died", step=worker.number, started=[id.encode()], max_deliveries=3)
        assert room.where(id) == ("dead" if death == 5 else "queued")


def test_a_lease_that_was_renewed_meanwhile_protects(room: Room) -> None:
    ids, worker = hold(room)
    before = room.snapshot()
    assert room.recover(worker, "lost", expected="12345").word == "alive"
    assert room.snapshot() == before
    until = room.redis.zscore(room.key("LEASES"), worker.name)
    assert room.recover(worker, "lost", expected=f"{until:.0f}").word == "alive", "it has not ended yet"
    assert room.snapshot() == before
    room.pass_time(LEASE_MS)
    until = room.redis.zscore(room.key("LEASES"), worker.name)
    assert room.recover(worker, "lost", expected=f"{until:.0f}").word == "ok"
    assert room.where(ids[0]) == "queued"


@pytest.mark.parametrize("state", states.all_but())
@pytest.mark.parametrize("how", ["left", "died", "lost"])
def test_a_worker_that_is_gone_gives_nothing_back(room: Room, state: str, how: verbs.How) -> None:
    states.MAKE[state](room)
    gone = room.register()
    room.recover(gone, "left")
    before = room.snapshot()
    assert room.recover(gone, how).word == "gone"
    assert room.snapshot() == before


def test_what_is_held_comes_back_even_if_the_lease_entry_vanished(room: Room) -> None:
    ids, worker = hold(room)
    room.redis.delete(room.key("LEASES"), room.key("WORKER", worker.name))
    assert room.recover(worker, "lost").word == "ok"
    assert room.where(ids[0]) == "queued"


def test_more_than_one_call_takes_is_taken_by_several(room: Room) -> None:
    ids = [room.enqueue() for _ in range(600)]
    worker = room.register()
    for _ in range(6):
        room.step(worker, 100)
    assert room.recover(worker, "left").left == 100
    assert room.recover(worker, "left").left == 0
    assert room.lists()[room.key("QUEUE", "default")] == ids


def test_a_full_broker_lets_it_pass(room: Room) -> None:
    ids, worker = hold(room)
    try:
        room.redis.config_set("maxmemory", 1)
        assert room.recover(worker, "lost").suspected == 1
    finally:
        room.redis.config_set("maxmemory", 0)
    assert room.where(ids[0]) == "queued"
    assert room.redis.zscore(room.key("LEASES"), worker.name) is None


# -- who takes suspects ----------------------------------------------------------------------------------------------


def suspects_of(room: Room, *priorities: int) -> list[str]:
    """One of each priority."""
    ids, worker = [room.enqueue(priority=priority) for priority in priorities], room.register()
    room.step(worker, len(ids))
    room.recover(worker, "lost")
    return ids


def test_a_worker_beside_whose_tasks_others_run_takes_no_suspect(room: Room) -> None:
    (suspect,) = suspects_of(room, 2)
    sound, pool = room.enqueue(), room.register(takes="sound")
    step = room.step(pool, 10)
    assert ([entry.decode() for entry in step.entries], step.alone) == ([sound], False)
    step = room.step(pool, 10, [completed(sound)])
    assert step.entries == []
    assert not room.redis.exists(room.key("WAKE")), "it would be woken for nothing"
    assert room.redis.exists(room.key("WAKE_ALONE"))
    assert room.where(suspect) == "queued"


def test_a_worker_for_suspects_takes_nothing_else(room: Room) -> None:
    suspects, sound = suspects_of(room, 1, 1), room.enqueue()
    worker = room.register(takes="suspects")
    for id in suspects:
        step = room.step(worker, 10)
        assert ([entry.decode() for entry in step.entries], step.alone) == ([id], True)
        assert room.step(worker, 10).entries == [], "one at a time"
        room.step(worker, 0, [completed(id)])
    assert room.step(worker, 10).entries == []
    assert not room.redis.exists(room.key("WAKE_ALONE"))
    assert room.where(sound) == "queued"


def test_a_suspect_waits_for_what_is_ready_at_a_higher_priority(room: Room) -> None:
    low, high = suspects_of(room, 0, 2)
    ready = room.enqueue(priority=1)
    worker, pool = room.register(takes="suspects"), room.register(takes="sound")
    step = room.step(worker, 10)
    assert [entry.decode() for entry in step.entries] == [high]
    room.redis.delete(room.key("WAKE_ALONE"))
    assert room.step(worker, 10, [completed(high)]).entries == []
    assert not room.redis.exists(room.key("WAKE_ALONE")), "it cannot run now"
    room.step(pool, 10)
    assert room.where(ready) == "active"
    assert room.redis.exists(room.key("WAKE_ALONE"))
    assert [entry.decode() for entry in room.step(worker, 10).entries] == [low]


def test_a_worker_that_holds_something_is_told_that_a_suspect_waits(room: Room) -> None:
    (suspect,) = suspects_of(room, 1)
    urgent, sound, worker = room.enqueue(priority=2), room.enqueue(), room.register()
    step = room.step(worker, 1)
    assert ([entry.decode() for entry in step.entries], step.alone) == ([urgent], 0)
    step = room.step(worker, 10)
    assert ([entry.decode() for entry in step.entries], step.alone) == ([sound], 2)
    step = room.step(worker, 10, [completed(urgent), completed(sound)])
    assert ([entry.decode() for entry in step.entries], step.alone) == ([suspect], 1)
