"""Any sequence of scripts, with lost replies, deaths and late bytes, does what the model says (tests/support/model.py).

The examples are always the same ones. `DISTQ_EXAMPLES=5000` (with pytest's `--timeout 0`) runs so many random ones
instead, and makes one that fails as short as it can.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from typing import Any

import msgpack
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from distq.broker import verbs
from distq.broker.scripts import script
from tests.support import room as wire
from tests.support.model import Item, Life, Model, Verdict
from tests.support.room import LEVELS, Room, Worker
from tests.support.rules import check_rules

EXAMPLES = int(os.environ.get("DISTQ_EXAMPLES", "0"))
PROFILE = settings(
    max_examples=EXAMPLES or 60,
    stateful_step_count=40,
    derandomize=not EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate],
    suppress_health_check=list(HealthCheck),
)

HOUR = 3_600_000
LEASE = HOUR * 3 // 2
RECORD = msgpack.packb({"outcome": "raised", "type": "E"})

HOURS = st.sampled_from([0, 1, 2, 5])
"""Something lasts so many hours, less a half: time passes in whole hours, so it never ends just now."""
TYPES = st.sampled_from(["job", "mail", "new"])
LIMITS = st.sampled_from([None, (HOUR, 1), (2 * HOUR, 2)])
KNOWN = st.sampled_from([["job"], ["job", "mail"], ["job", "mail", "new"]])
VERDICTS = st.lists(
    st.tuples(
        st.integers(0, 7),  # which entry: of those that the worker holds, then of others
        st.sampled_from(["complete", "complete_again", "retry", "snooze", "bury", "release", "park"]),
        HOURS,
    ),
    max_size=4,
)


def drawn(choices: Callable[[Machine], Sequence[Any]]) -> st.SearchStrategy[Any]:
    """One of what the machine has at that time."""
    return st.runner().flatmap(lambda machine: st.sampled_from(choices(machine)))


def needs(choices: Callable[[Machine], Sequence[Any]]) -> Callable[[Any], Any]:
    """The rule makes sense only if there is one."""
    return precondition(lambda machine: bool(choices(machine)))


def workers(machine: Machine) -> list[Worker]:
    return machine.workers


def stepped(machine: Machine) -> list[Worker]:
    return [worker for worker in machine.workers if worker.number]


def settled(machine: Machine) -> list[Worker]:
    return [worker for worker in machine.workers if worker.name in machine.last_settle]


def gone(machine: Machine) -> list[Worker]:
    return machine.gone


def ids(machine: Machine) -> list[str]:
    """Of all that was ever enqueued."""
    return machine.ids


def live(machine: Machine) -> list[str]:
    return [life.id for life in machine.model.live()]


def dead(machine: Machine) -> list[str]:
    return [life.id for life in machine.model.in_state("dead")]


def long_over(machine: Machine) -> list[str]:
    """What ended before time passed, so that also its result's time may be over by now."""
    lives = machine.model.lives.values()
    return [life.id for life in lives if life.result and (life.ended_at or 0) < machine.model.now]


class Machine(RuleBasedStateMachine):
    """Real scripts on a real server, beside the model."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.room, self.model = Room(self.url), Model()
        self.room.redis.flushdb()
        self.numbers = itertools.count(1)
        self.ids: list[str] = []
        self.workers: list[Worker] = []
        self.gone: list[Worker] = []
        self.last_step: dict[str, verbs.Command[verbs.Step]] = {}
        self.last_settle: dict[str, verbs.Command[tuple[str, int]]] = {}
        self.last_enqueue: tuple[list[Item], bytes, int] | None = None

    def teardown(self) -> None:
        for id in self.ids:
            life = self.model.lives.get(id)
            kept = "none" if life is None else life.state
            assert self.room.where(id) == kept
        self.room.close()

    # -- producers ---------------------------------------------------------------------------------------------------

    @rule(
        given=st.sampled_from([None, None, "a", "b"]),
        type=TYPES,
        priority=st.integers(0, 2),
        delay=HOURS,
        expires=HOURS,
        limit=LIMITS,
    )
    def enqueue(self, **call: Any) -> None:
        self._enqueue([self._item(**call)])

    @rule(
        calls=st.lists(
            st.fixed_dictionaries({"type": TYPES, "priority": st.integers(0, 2), "delay": HOURS}),
            min_size=2,
            max_size=6,
        ),
        given=st.sampled_from([None, None, "a"]),
    )
    def enqueue_many(self, calls: list[dict[str, Any]], given: str | None) -> None:
        """In one call; with a given id, all but the first of them are duplicates."""
        self._enqueue([self._item(**call, given=given) for call in calls])

    @precondition(lambda machine: machine.last_enqueue and machine.last_enqueue[2] == machine.model.now)
    @rule()
    def resend_enqueue(self) -> None:
        """Its reply was lost. Whatever became of the tasks meanwhile, unless they were purged, nothing changes."""
        assert self.last_enqueue
        items, data, _ = self.last_enqueue
        before = self.room.snapshot()
        expected = [self.model.enqueue(item) for item in items]
        assert self._send(data) == expected
        if "created" not in expected:
            assert self.room.snapshot() == before

    def _item(
        self,
        type: str,
        priority: int,
        delay: int,
        given: str | None = None,
        expires: int = 0,
        limit: tuple[int, int] | None = None,
    ) -> Item:
        number = next(self.numbers)
        return Item(
            given or f"default.{number:020x}",
            type,
            priority,
            f"token {number}" if given else None,
            self._ms(delay),
            self._ms(expires),
            limit if type == "mail" else None,
        )

    def _enqueue(self, items: list[Item]) -> None:
        data = self._enqueue_bytes(items)
        self.last_enqueue = (items, data, self.model.now)
        self.ids += [item.id for item in items if item.id not in self.ids]
        assert self._send(data) == [self.model.enqueue(item) for item in items]

    def _enqueue_bytes(self, items: list[Item]) -> bytes:
        pieces = []
        for item in items:
            options: dict[str, Any] = {"delay": item.delay, "expires_in": item.expires_in, "token": item.token}
            if item.limit:
                options["limit"] = f"{item.limit[0] * 1000} {item.limit[1]}"
            told = {name: value for name, value in options.items() if value}
            raw = self.room.enqueue_bytes(item.id, item.type, item.priority, 600, b"\x91\x90", **told)
            pieces.append(raw.removeprefix(script("enqueue").command_head(self.room.prefix.encode(), 5)))
        return script("enqueue").command_head(self.room.prefix.encode(), 5 * len(items)) + b"".join(pieces)

    def _send(self, data: bytes) -> list[str]:
        return [word.decode() for word in self.room.wire.run_script(script("enqueue"), data)]

    def _ms(self, hours: int) -> int:
        """Each a millisecond longer than the one before, so that no two things are due at once."""
        return hours * HOUR - HOUR // 2 + next(self.numbers) if hours else 0

    # -- workers -----------------------------------------------------------------------------------------------------

    @rule(types=KNOWN, limit=LIMITS)
    def register(self, types: list[str], limit: tuple[int, int] | None) -> None:
        limits = {"mail": limit} if "mail" in types else {}
        text = {type: f"{limit[0] * 1000} {limit[1]}" if limit else "" for type, limit in limits.items()}
        worker = self.room.register(types, text, LEASE)
        self.model.register(worker.name, types, limits, LEASE)
        self.workers.append(worker)

    @needs(workers)
    @rule(worker=drawn(workers), want=st.integers(0, 5), verdicts=VERDICTS)
    def step(self, worker: Worker, want: int, verdicts: list[tuple[int, str, int]]) -> None:
        given = self._verdicts(worker, verdicts)
        worker.number += 1
        command = self.room.step_command(worker, worker.number, want, self._packed(given))
        self.last_step[worker.name] = command
        self.model.lane_order = self._lane_order()
        step = self.room.run(command)
        got, alone, late = self.model.step(worker.name, want, given)
        assert (step.word, step.alone, step.late) == ("ok", alone, late)
        assert [entry.decode() for entry in step.entries] == [life.entry for life in got]
        assert step.fence == self.model.workers[worker.name].fence

    @needs(stepped)
    @rule(worker=drawn(stepped))
    def resend_step(self, worker: Worker) -> None:
        """Its reply was lost: nothing is settled again, and it is told what it reserved."""
        before = self.room.snapshot()
        step = self.room.run(self.last_step[worker.name])
        place, held = self.model.workers[worker.name], self.model.held(worker.name)
        assert (step.word, step.fence, step.alone, step.late) == ("ok", place.fence, place.alone, 0)
        expected = held[-place.reserved :] if place.reserved else []
        assert [entry.decode() for entry in step.entries] == [life.entry for life in expected]
        assert self.room.snapshot() == before

    @needs(stepped)
    @rule(worker=drawn(stepped), want=st.integers(0, 5), verdicts=VERDICTS)
    def late_bytes_of_an_older_step(self, worker: Worker, want: int, verdicts: list[tuple[int, str, int]]) -> None:
        before = self.room.snapshot()
        packed = self._packed(self._verdicts(worker, verdicts))
        step = self.room.run(self.room.step_command(worker, worker.number - 1, want, packed))
        assert (step.word, step.entries) == ("stale", [])
        assert self.room.snapshot() == before

    @needs(gone)
    @rule(worker=drawn(gone), want=st.integers(0, 5), verdicts=VERDICTS)
    def step_of_a_worker_that_is_gone(self, worker: Worker, want: int, verdicts: list[tuple[int, str, int]]) -> None:
        before = self.room.snapshot()
        step = self.room.step(worker, want, self._packed(self._verdicts(worker, verdicts)))
        assert (step.word, step.entries) == ("gone", [])
        assert self.room.snapshot() == before

    @needs(workers)
    @rule(worker=drawn(workers), verdicts=VERDICTS)
    def settle(self, worker: Worker, verdicts: list[tuple[int, str, int]]) -> None:
        """The supervisor settles for its busy child."""
        given = self._verdicts(worker, verdicts)
        packed = self._packed(given)
        command = verbs.settle(
            self.room.prefix, worker.name, next(self.numbers), verbs.Verdicts(len(packed), b"".join(packed))
        )
        self.last_settle[worker.name] = command
        assert self.room.run(command) == ("ok", self.model.settle(worker.name, given))

    @needs(settled)
    @rule(worker=drawn(settled))
    def resend_settle(self, worker: Worker) -> None:
        before = self.room.snapshot()
        assert self.room.run(self.last_settle[worker.name]) == ("stale", 0)
        assert self.room.snapshot() == before

    @needs(workers)
    @rule(
        worker=drawn(workers),
        how=st.sampled_from(["left", "died", "lost"]),
        max_deliveries=st.integers(1, 3),
        started=st.sets(st.integers(0, 7), max_size=3),
        verdicts=VERDICTS,
        behind=st.sampled_from([0, 0, 0, 1]),
    )
    def recover(
        self,
        worker: Worker,
        how: verbs.How,
        max_deliveries: int,
        started: set[int],
        verdicts: list[tuple[int, str, int]],
        behind: int,
    ) -> None:
        """Its supervisor knows what had started and what was finished after the step before this one, or this one."""
        held = self.model.held(worker.name)
        running = [life for number, life in enumerate(held) if number in started] if how == "died" else []
        given = self._verdicts(worker, verdicts) if how == "died" else []
        packed = self._packed(given)
        recovery = self.room.recover(
            worker,
            how,
            max_deliveries=max_deliveries,
            record=RECORD,
            step=worker.number - behind,
            started=[life.entry.encode() for life in running],
            verdicts=verbs.Verdicts(len(packed), b"".join(packed)),
        )
        expected = self.model.recover(worker.name, how, max_deliveries, not behind, running, given)
        assert recovery == ("ok", *expected, 0)
        self.workers.remove(worker)
        self.gone.append(worker)

    @needs(workers)
    @rule(worker=drawn(workers))
    def recover_for_a_lease_that_was_renewed_since(self, worker: Worker) -> None:
        before = self.room.snapshot()
        assert self.room.recover(worker, "lost", expected="1234567890123").word == "alive"
        assert self.room.snapshot() == before

    @needs(gone)
    @rule(worker=drawn(gone), how=st.sampled_from(["left", "died", "lost"]))
    def recover_again(self, worker: Worker, how: verbs.How) -> None:
        before = self.room.snapshot()
        assert self.room.recover(worker, how).word == "gone"
        assert self.room.snapshot() == before

    def _verdicts(self, worker: Worker, drawn: list[tuple[int, str, int]]) -> list[Verdict]:
        pool = list(self.model.held(worker.name)) if worker.name in self.model.workers else []
        pool += [life for life in self.model.lives.values() if life not in pool]
        return [
            Verdict(pool[number], word, self._ms(max(hours, word == "park")))
            for number, word, hours in drawn
            if number < len(pool)
        ]

    def _packed(self, verdicts: list[Verdict]) -> list[bytes]:
        packed = []
        for given in verdicts:
            entry, type = given.life.entry, given.life.type
            match given.word:
                case "complete" | "complete_again":
                    blob = msgpack.packb(["completed", next(self.numbers), 0, 0.0])
                    packed.append(wire.verdict(entry, given.word, type=type, number=600_000, blob=blob))
                case "retry" | "bury":
                    packed.append(wire.verdict(entry, given.word, type=type, number=given.after, blob=RECORD))
                case _:
                    packed.append(wire.verdict(entry, given.word, type=type, number=given.after))
        return packed

    def _lane_order(self) -> list[str]:
        """Of each priority in turn; a lane is at one place in all of them, or at none."""
        keys = [self.room.key("LANES_AT", level) for level in LEVELS]
        return list(dict.fromkeys(lane.decode() for key in keys for lane in self.room.redis.smembers(key)))

    # -- supervisors and people --------------------------------------------------------------------------------------

    @rule(host=st.sampled_from(["one", "two"]))
    def tick(self, host: str) -> None:
        tick = self.room.tick(host, LEASE)
        assert tick.is_keeper == self.model.tick(host, LEASE)
        next_time = self.model.next_time() if tick.is_keeper else self.model.keeper_until
        if next_time is None:
            assert tick.wait_ms is None
        else:
            assert tick.wait_ms is not None
            assert abs(next_time - self.model.now - tick.wait_ms) < HOUR // 4

    @needs(workers)
    @rule(renewed=st.sets(st.integers(0, 3)))
    def renew(self, renewed: set[int]) -> None:
        """For some of the workers, and for one that is gone."""
        for number in renewed:
            if number < len(self.workers):
                self.model.workers[self.workers[number].name].lease_until = self.model.now + LEASE
        mine = [worker for number, worker in enumerate(self.workers) if number in renewed]
        digest = mine[0].digest if mine else "job"
        names = [worker.name for worker in mine]
        renewal = self.room.run(
            verbs.renew(self.room.prefix, "one", LEASE, digest, digest.split("_"), [*names, "nobody"])
        )
        assert renewal.held == [*(len(self.model.held(name)) for name in names), -1]
        silent = {
            name for name, place in self.model.workers.items() if place.lease_until <= self.model.now + LEASE // 2
        }
        assert {name for name, _ in renewal.silent} == silent

    @rule(hours=st.sampled_from([1, 2, 3, 30]))
    def time_passes(self, hours: int) -> None:
        self.model.now += hours * HOUR
        self.room.pass_time(hours * HOUR)

    @needs(long_over)
    @rule(id=drawn(long_over))
    def the_time_of_a_result_is_over(self, id: str) -> None:
        self.room.redis.delete(self.room.key("RESULT", id), self.room.key("SENT", id))
        self.model.forget_result(id)
        self.model.sent.pop(id, None)

    @needs(live)
    @rule(id=drawn(live))
    def somebody_deletes_an_entry(self, id: str) -> None:
        """A server that evicts keys, for example. What is then in no place is put back."""
        life = self.model.lives[id]
        for name in self.room.lists():
            self.room.redis.lrem(name, 0, life.entry)
        self.room.redis.zrem(self.room.key("DELAYED"), life.entry)
        self.model.lose(life)
        entries = [life.entry.encode() for life in self.model.live()]
        assert self.room.run(verbs.restore(self.room.prefix, entries)) == 1
        assert self.room.run(verbs.restore(self.room.prefix, entries)) == 0

    @needs(ids)
    @rule(id=drawn(ids))
    def cancel(self, id: str) -> None:
        assert self.room.cancel(id) == self.model.cancel(id)

    @rule(level=st.sampled_from([*LEVELS, "scheduled"]))
    def purge(self, level: str) -> None:
        expected, taken = self.model.purge(level), 0
        while number := self.room.run(verbs.purge(self.room.prefix, level, "test")):
            taken += number
        assert taken == expected

    @needs(ids)
    @rule(chosen=st.lists(drawn(ids), min_size=1, max_size=3))
    def replay(self, chosen: list[str]) -> None:
        expected = [self.model.replay(id) for id in chosen]
        assert self.room.run(verbs.replay(self.room.prefix, chosen)) == expected

    @needs(dead)
    @rule(id=drawn(dead))
    def purge_dead(self, id: str) -> None:
        assert self.room.run(verbs.purge_dead(self.room.prefix, [id])) == self.model.purge_dead(id)

    # -- what holds after each of them -------------------------------------------------------------------------------

    @invariant()
    def all_is_as_it_should_be(self) -> None:
        self.each_list_holds_what_it_should_in_order()
        self.what_has_a_time_is_known_by_it()
        self.each_task_is_seen_in_its_state()
        self.the_depths_are_right()
        self.the_ledger_counts_what_happened()
        self.no_group_is_woken_for_what_it_cannot_run_now()
        self.the_lanes_are_those_of_the_model()
        check_rules(self.room)

    def each_list_holds_what_it_should_in_order(self) -> None:
        lists = {name.removeprefix(self.room.prefix): entries for name, entries in self.room.lists().items()}
        assert lists == self.model.expected_lists()

    def what_has_a_time_is_known_by_it(self) -> None:
        for key, attribute in (("DELAYED", "due"), ("DEADLINES", "deadline")):
            real = {entry.decode() for entry in self.room.redis.zrange(self.room.key(key), 0, -1)}
            assert real == {life.entry for life in self.model.live() if getattr(life, attribute) is not None}

    def each_task_is_seen_in_its_state(self) -> None:
        for id in self.ids:
            life, look = self.model.lives.get(id), self.room.look(id)
            if life is None:
                assert look.state == "unknown"
            elif life.is_live:
                assert look.state == {"active": "running"}.get(life.state, life.state)
                holder = next((name for name in self.model.workers if life in self.model.held(name)), "")
                assert look.worker == holder
                self._head_is(life)
            elif life.result:
                assert look.state == "ended"
                assert self.room.result(id)[0] == life.result
            else:
                assert look.state == "dead"
            if life is not None and life.state == "dead":
                self._head_is(life)

    def _head_is(self, life: Life) -> None:
        head = self.room.head(life.id)
        assert (head.type, head.priority, head.attempt, head.deliveries) == (
            life.type, life.priority, life.attempt, life.deliveries
        )  # fmt: skip
        if life.is_live:
            assert head.flags == life.suspect
            assert bool(head.expires_ms) == (life.expires is not None)
        assert len(self.room.attempts(life.id)) == life.records

    def the_depths_are_right(self) -> None:
        depths, model = self.room.run(verbs.depths(self.room.prefix)), self.model
        assert (depths.high, depths.default, depths.low) == tuple(model.depth(level) for level in LEVELS)
        states = ("scheduled", "active", "dead")
        counted = tuple(len(model.in_state(state)) for state in states)
        assert (depths.scheduled, depths.running, depths.dead) == counted
        assert (depths.live, depths.workers) == (len(model.live()), len(model.workers))

    def the_ledger_counts_what_happened(self) -> None:
        assert self.room.ledger() == self.model.ledger

    def no_group_is_woken_for_what_it_cannot_run_now(self) -> None:
        runnable = self.model.runnable_lanes()
        for digest in {worker.digest for worker in (*self.workers, *self.gone)}:
            if self.room.redis.exists(self.room.key("WAKE_GROUP", digest)):
                assert runnable & set(digest.split("_"))

    def the_lanes_are_those_of_the_model(self) -> None:
        lanes = {name.decode() for name in self.room.redis.hkeys(self.room.key("LANES"))}
        assert lanes == set(self.model.lanes)


def test_any_sequence_of_scripts_does_what_the_model_says(url: str) -> None:
    Machine.url = url
    run_state_machine_as_test(Machine, settings=PROFILE)
