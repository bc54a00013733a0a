"""Any sequence of scripts, with lost replies, deaths and late bytes, does what the model says (tests/support/model.py).

The examples are always the same ones. `DISTQ_EXAMPLES=5000` (with pytest's `--timeout 0`) runs so many random ones
instead, and makes one that fails as short as it can.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import msgpack
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from distq.broker import moves, together, verbs
from distq.broker.scripts import encode, script
from distq.broker.verdicts import Verdicts
from distq.message import parse
from tests.support import room as wire
from tests.support.model import ISOLATION, ITS_LIMIT, Item, Model, Verdict
from tests.support.room import LEVELS, Room, Worker
from tests.support.rules import check_rules

EXAMPLES = int(os.environ.get("DISTQ_EXAMPLES", "0"))
PROFILE = settings(
    max_examples=EXAMPLES or 70,
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

HOURS = st.sampled_from([0, 1, 2])
"""Something lasts so many hours, less a half: time passes in whole hours, so it never ends just now."""
PRIORITY = st.sampled_from([None, 0, 1, 2])
GIVEN = st.sampled_from([None, "a", "b"])
TYPES = st.sampled_from(["job", "mail", "new"])
LIMITS = st.sampled_from([None, (HOUR, 1), (2 * HOUR, 2)])
KNOWN = st.sampled_from([["job", "mail", "new"], ["job", "mail"], ["job"]])
TAKES = st.sampled_from(["all", "all", "only", "sound", "lanes", "suspects", "isolated"])
HOW = st.sampled_from(["died", "lost", "left"])
WORDS = st.sampled_from(["complete", "retry", "release", "park", "snooze", "bury", "complete_again", "keep"])
VERDICTS = st.tuples(
    st.lists(st.tuples(WORDS, HOURS), max_size=5),  # on what the worker holds, one after the other
    st.booleans(),  # the last one first
    st.integers(0, 7).map(lambda number: number == 7),  # the same on something that it does not hold
)
Drawn = tuple[list[tuple[str, int]], bool, bool]


def drawn(choices: Callable[[Machine], Sequence[Any]]) -> st.SearchStrategy[Any]:
    """One of what the machine has at that time."""
    return st.runner().flatmap(lambda machine: st.sampled_from(choices(machine)))


def needs(choices: Callable[[Machine], Sequence[Any]]) -> Callable[[Any], Any]:
    """The rule makes sense only if there is one."""
    return precondition(lambda machine: bool(choices(machine)))


def workers(machine: Machine) -> list[Worker]:
    return machine.workers


def busy(machine: Machine) -> list[Worker]:
    """Those that hold something; without such, any."""
    return [worker for worker in machine.workers if machine.model.held(worker.name)] or machine.workers


def ids(machine: Machine) -> list[str]:
    """Of all that was ever enqueued."""
    return machine.ids


def dead(machine: Machine) -> list[str]:
    return [life.id for life in machine.model.in_state("dead")]


def types_of(digest: str) -> list[str]:
    """What a group announces."""
    return [ISOLATION] if digest == "isolated" else digest.split("_")


def unheard(machine: Machine) -> list[str]:
    """Groups without a worker."""
    return sorted(machine.model.announced.keys() - {worker.digest for worker in machine.workers})


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
        self.last_settle: dict[str, verbs.Command[verbs.Settled]] = {}
        self.last_enqueue: tuple[list[Item], bytes, int] = ([], b"", -1)
        self.last_reschedule: tuple[verbs.Command[list[str]], list[str]] | None = None

    def teardown(self) -> None:
        for id in self.ids[-8:]:
            life = self.model.lives.get(id)
            assert self.room.where(id) == ("none" if life is None else life.state)
        self.room.close()

    # -- producers ---------------------------------------------------------------------------------------------------

    @rule(
        given=GIVEN,
        type=TYPES,
        priority=st.integers(0, 2),
        delay=HOURS,
        expires=HOURS,
        limit=LIMITS,
    )
    def enqueue(self, **call: Any) -> None:
        self._enqueue([self._item(**call)])

    @rule(
        number=st.integers(2, 6),
        call=st.fixed_dictionaries(
            {"type": TYPES, "priority": st.integers(0, 2), "delay": HOURS, "expires": HOURS, "limit": LIMITS}
        ),
        plain=st.booleans(),
        given=st.sampled_from([None, None, "a"]),
    )
    def enqueue_many(self, number: int, call: dict[str, Any], plain: bool, given: str | None) -> None:
        """In one call; with a given id, all but the first of them are duplicates."""
        if plain:
            call |= {"delay": 0, "expires": 0, "limit": None}
        first = self._item(**call, given=given)
        others = [replace(first, id=given or self._new_id()) for _ in range(number - 1)]
        self._enqueue([first, *others])

    def _item(
        self,
        type: str,
        priority: int,
        delay: int,
        given: str | None = None,
        expires: int = 0,
        limit: tuple[int, int] | None = None,
    ) -> Item:
        return Item(
            given or self._new_id(),
            type,
            priority,
            f"token {next(self.numbers)}" if given else None,
            self._ms(delay),
            self._ms(expires),
            limit if type == "mail" else None,
        )

    def _new_id(self) -> str:
        return f"default.{next(self.numbers):020x}"

    def _enqueue(self, items: list[Item]) -> None:
        data = self._enqueue_bytes(items)
        self.ids += [item.id for item in items if item.id not in self.ids]
        words = [self.model.enqueue(item) for item in items]
        assert self._send(data, len(items)) == words
        self.last_enqueue = (items, data, -1 if "duplicate" in words else self.model.now)

    def _enqueue_bytes(self, items: list[Item]) -> bytes:
        """They are alike, but for their ids."""
        item = items[0]
        options: dict[str, Any] = {"delay": item.delay, "expires_in": item.expires_in, "token": item.token}
        if item.limit:
            options["limit"] = f"{item.limit[0] * 1000} {item.limit[1]}"
        told = {name: value for name, value in options.items() if value}
        most = ITS_LIMIT[item.type]
        return self.room.enqueue_many_bytes([item.id for item in items], item.type, item.priority, most=most, **told)

    def _send(self, data: bytes, number: int) -> list[str]:
        words = [word.decode() for word in self.room.wire.run_script(script("enqueue"), data)]
        return words * number if len(words) == 1 else words

    def _ms(self, hours: int) -> int:
        """Each a millisecond longer than the one before, so that no two things are due at once."""
        return hours * HOUR - HOUR // 2 + next(self.numbers) if hours else 0

    # -- workers -----------------------------------------------------------------------------------------------------

    @initialize(limit=LIMITS)
    def begin(self, limit: tuple[int, int] | None) -> None:
        self.register(["job", "mail", "new"], limit)

    @precondition(lambda machine: len(machine.workers) < 4)
    @rule(types=KNOWN, limit=LIMITS, takes=TAKES)
    def register(self, types: list[str], limit: tuple[int, int] | None, takes: verbs.Takes = "all") -> None:
        types = [ISOLATION] if takes == "isolated" else types
        limits = {"mail": limit} if "mail" in types else {}
        text = {type: f"{limit[0] * 1000} {limit[1]}" if limit else "" for type, limit in limits.items()}
        worker = self.room.register(types, text, LEASE, takes=takes)
        self.model.register(worker.name, worker.digest, types, limits, LEASE, takes)
        self.workers.append(worker)

    @needs(workers)
    @rule(worker=drawn(workers), want=st.integers(1, 5))
    def reserve(self, worker: Worker, want: int) -> None:
        self._step(worker, want, [])

    @needs(workers)
    @rule(worker=drawn(busy), want=st.integers(0, 5), verdicts=VERDICTS)
    def step(self, worker: Worker, want: int, verdicts: Drawn) -> None:
        self._step(worker, want, self._verdicts(worker, verdicts))

    def _step(self, worker: Worker, want: int, verdicts: list[Verdict]) -> None:
        worker.number += 1
        command = self.room.step_command(worker, worker.number, want, self._packed(verdicts))
        self.last_step[worker.name] = command
        self.model.lane_order = self._lane_order()
        step = self.room.run(command)
        got, alone, late = self.model.step(worker.name, want, verdicts, worker.number)
        assert (step.word, step.alone, step.late) == ("ok", alone, late)
        assert [entry.decode() for entry in step.entries] == [life.entry for life in got]
        assert step.fence == self.model.workers[worker.name].fence

    @needs(workers)
    @rule(
        worker=drawn(busy),
        verdicts=VERDICTS,
        flying=st.sampled_from([None, None, -1, 0, 1]),
        keeps=st.sets(st.integers(0, 4), max_size=3),
    )
    def settle(self, worker: Worker, verdicts: Drawn, flying: int | None, keeps: set[int]) -> None:
        """The supervisor settles for its busy child, and may give back what that does not know of: `flying` is the step
        that it knows to be on its way, relative to the last one that has arrived."""
        given = self._verdicts(worker, verdicts)
        packed = self._packed(given)
        kept = [life for number, life in enumerate(self.model.held(worker.name)) if number in keeps]
        command = verbs.settle(
            self.room.prefix,
            worker.name,
            next(self.numbers),
            Verdicts(len(packed), b"".join(packed)),
            0 if flying is None else worker.number + flying,
            [life.entry.encode() for life in kept],
        )
        self.last_settle[worker.name] = command
        late = self.model.settle(worker.name, given)
        if flying is not None and flying >= 0 and worker.number + flying > 0:
            self.model.give_back(worker.name, kept)
        assert self.room.run(command) == ("ok", late, worker.number)

    @needs(workers)
    @rule(
        worker=drawn(busy),
        how=HOW,
        first=st.integers(0, 3),
        max_deliveries=st.integers(1, 3),
        started=st.sets(st.integers(0, 4), max_size=3),
        verdicts=VERDICTS,
        behind=st.integers(0, 4).map(lambda number: number == 4),
        doubtful=st.integers(0, 3),
        elsewhere=st.integers(0, 1),
    )
    def recover(
        self,
        worker: Worker,
        how: verbs.How,
        first: int,
        max_deliveries: int,
        started: set[int],
        verdicts: Drawn,
        behind: bool,
        doubtful: int,
        elsewhere: int,
    ) -> None:
        """Its supervisor knows what had started and what was finished, and which of it the last step has carried."""
        if first:  # else it would rarely hold anything
            self._step(worker, first, [])
        held = self.model.held(worker.name)
        running = [life for number, life in enumerate(held) if number in started] if how != "lost" else []
        given = self._verdicts(worker, verdicts) if how == "died" else []
        packed = self._packed(given)
        recovery = self.room.recover(
            worker,
            how,
            max_deliveries=max_deliveries,
            record=RECORD,
            step=worker.number - behind,
            started=[life.entry.encode() for life in running],
            verdicts=Verdicts(len(packed), b"".join(packed)),
            doubtful=min(doubtful, len(given)),
            ran=len(running) + elsewhere,
        )
        counted = given[doubtful:] if behind else given
        expected = self.model.recover(worker.name, how, max_deliveries, running, elsewhere, counted)
        assert recovery == ("ok", *expected, 0)
        self.workers.remove(worker)
        self.gone.append(worker)

    def _verdicts(self, worker: Worker, drawn: Drawn) -> list[Verdict]:
        words, backwards, stranger = drawn
        held = list(self.model.held(worker.name)) if worker.name in self.model.workers else []
        others = [life for life in self.model.lives.values() if life not in held]
        lives = [*(others[:1] if stranger else []), *(reversed(held) if backwards else held)]
        return [
            Verdict(life, word, self._ms(max(hours, word == "park")))
            for life, (word, hours) in zip(lives, words, strict=False)
            if word != "keep"
        ]

    def _packed(self, verdicts: list[Verdict]) -> list[bytes]:
        packed = []
        for given in verdicts:
            number, blob = given.after, b""
            if given.word.startswith("complete"):
                number, blob = 600_000, msgpack.packb(["completed", next(self.numbers), 0, 0.0])
            elif given.word in ("retry", "bury"):
                blob = RECORD
            elif given.word == "release":
                number = min(given.after, 1)
            packed.append(wire.verdict(given.life.entry, given.word, type=given.life.type, number=number, blob=blob))
        return packed

    def _lane_order(self) -> dict[str, list[str]]:
        order = {}
        for level in LEVELS:
            lanes = self.room.wire.request(encode("SMEMBERS", self.room.key("LANES_AT", level)))
            order[level] = [lane.decode() for lane in lanes]
        return order

    # -- what comes again, or too late, changes nothing --------------------------------------------------------------

    @rule(choose=st.randoms(use_true_random=False), want=st.integers(0, 5), verdicts=VERDICTS)
    def again_or_too_late(self, choose: Random, want: int, verdicts: Drawn) -> None:
        """A lost reply made somebody send the same bytes again, or bytes of a dead connection arrive after all."""
        if not self.ids:
            return
        self.room.run(verbs.restore(self.room.prefix, []))  # sets the marker of a lane that has got its next token
        before = self.room.snapshot()
        self._enqueue_again()
        if self.last_reschedule:
            command, words = self.last_reschedule
            assert self.room.run(command) == words
        if self.workers:
            worker = choose.choice(self.workers)
            packed = self._packed(self._verdicts(worker, verdicts))
            self._step_again(worker, want, packed)
            if worker.name in self.last_settle:
                assert self.room.run(self.last_settle[worker.name]).word == "stale"
            assert self.room.recover(worker, "lost", expected="1234567890123").word == "alive"
        if self.gone:
            worker = choose.choice(self.gone)
            step = self.room.step(worker, want, self._packed(self._verdicts(worker, verdicts)))
            assert (step.word, step.entries) == ("gone", [])
            assert self.room.recover(worker, choose.choice(["left", "died", "lost"])).word == "gone"
            if worker.name in self.last_settle:
                assert self.room.run(self.last_settle[worker.name]).word == "gone"
        assert self.room.run(verbs.restore(self.room.prefix, [id.encode() for id in self.ids])) == 0
        assert self.room.snapshot() == before

    def _enqueue_again(self) -> None:
        """What was new, within the time in which producers repeat a call; a purge of the dead forgets them at once."""
        items, data, at = self.last_enqueue
        if at == self.model.now and all(item.id in self.model.lives for item in items):
            assert self._send(data, len(items)) == ["created" if item.token else "duplicate" for item in items]

    def _step_again(self, worker: Worker, want: int, verdicts: list[bytes]) -> None:
        if worker.number == 0:
            return
        step = self.room.run(self.last_step[worker.name])
        place, held = self.model.workers[worker.name], self.model.held(worker.name)
        assert (step.word, step.fence, step.alone, step.late) == ("ok", place.fence, place.alone, 0)
        expected = held[-place.reserved :] if place.reserved else []
        assert [entry.decode() for entry in step.entries] == [life.entry for life in expected]
        step = self.room.run(self.room.step_command(worker, worker.number - 1, want, verdicts))
        assert (step.word, step.entries) == ("stale", [])

    # -- supervisors and people --------------------------------------------------------------------------------------

    def is_late(self) -> bool:
        """Whether the keeper has let pass what it should have done seconds ago."""
        armed = self.room.redis.hget(self.room.key("META"), "armed")
        return armed is not None and float(armed) < self.room.now_ms() - 2000

    @rule(host=st.sampled_from(["one", "two"]))
    def tick(self, host: str) -> None:
        is_late = self.is_late()
        tick = self.room.tick(host, LEASE)
        assert tick.is_keeper == self.model.tick(host, LEASE, is_late)
        next_time = self.model.next_time() if tick.is_keeper else self.model.keeper_until
        if next_time is None:
            assert tick.wait_ms is None
        else:
            assert tick.wait_ms is not None
            assert abs(next_time - self.model.now - tick.wait_ms) < HOUR // 4

    @needs(workers)
    @rule(host=st.sampled_from(["one", "two"]), renewed=st.sets(st.integers(0, 3)))
    def renew(self, host: str, renewed: set[int]) -> None:
        """For some of the workers, and for one that is gone."""
        mine = [worker for number, worker in enumerate(self.workers) if number in renewed]
        names, digest, is_late = [worker.name for worker in mine], (mine or self.workers)[0].digest, self.is_late()
        (renewal,) = self.room.run(
            together.renew([self.room.prefix], host, LEASE, digest, types_of(digest), [*names, "nobody"])
        )
        assert renewal is not None
        assert renewal.held == [*(len(self.model.held(name)) for name in names), -1]
        silent, keeper = self.model.renew(host, names, LEASE, is_late)
        assert sorted(name for name, _ in renewal.silent) == sorted(silent)
        assert renewal.keeper == keeper

    @rule(hours=st.sampled_from([1, 2, 30]))
    def time_passes(self, hours: int) -> None:
        self.model.now += hours * HOUR
        self.room.pass_time(hours * HOUR)

    @needs(unheard)
    @rule(group=drawn(unheard))
    def nobody_announces_a_group_any_more(self, group: str) -> None:
        self.room.redis.delete(self.room.key("TYPES", group))
        del self.model.announced[group]

    @needs(long_over)
    @rule(id=drawn(long_over))
    def the_time_of_a_result_is_over(self, id: str) -> None:
        self.room.forget_result(id)
        self.room.redis.delete(self.room.key("SENT", id))
        self.model.forget_result(id)
        self.model.sent.pop(id, None)

    @needs(ids)
    @rule(id=drawn(ids))
    def wait(self, id: str) -> None:
        life = self.model.lives.get(id)
        self.room.run(verbs.look(self.room.prefix, id, waits=True))
        if life and life.is_live:
            life.waited_for = True

    @needs(ids)
    @rule(id=drawn(ids))
    def cancel(self, id: str) -> None:
        assert self.room.cancel(id) == self.model.cancel(id)

    @needs(ids)
    @rule(chosen=st.lists(drawn(ids), min_size=1, max_size=3), hours=st.one_of(st.none(), HOURS), priority=PRIORITY)
    def reschedule(self, chosen: list[str], hours: int | None, priority: int | None) -> None:
        delay = None if hours is None else self._ms(hours)
        chosen = chosen[:1] if delay else chosen  # no two are due at once
        change = moves.Change("" if delay is None else "delay", delay or 0, priority)
        expected = [self.model.reschedule(id, delay, priority) for id in chosen]
        command = moves.reschedule(self.room.prefix, chosen, change)
        self.last_reschedule = command, expected
        assert self.room.run(command) == expected

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
        self.each_message_says_what_has_happened_to_it()
        self.who_waits_is_answered_and_nobody_else()
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
                assert look.worker == next((name for name in self.model.workers if life in self.model.held(name)), "")
            elif life.result:
                assert look.state == "ended"
                assert look.result is not None
                assert msgpack.unpackb(look.result)[0] == life.result
            else:
                assert look.state == "dead"

    def who_waits_is_answered_and_nobody_else(self) -> None:
        lives = list(self.model.lives.values())
        answers = self.room.ask_all(("LRANGE", self.room.key("ANSWER", life.id), 0, -1) for life in lives)
        told = [[msgpack.unpackb(raw)[0] for raw in found] for found in answers]
        assert told == [[life.state] if life.waited_for and not life.is_live else [] for life in lives]

    def each_message_says_what_has_happened_to_it(self) -> None:
        kept = [self.room.redis.hgetall(self.room.key(name)) for name in ("TASKS", "DEAD")]
        live, dead = ({entry.decode(): parse(raw) for entry, raw in messages.items()} for messages in kept)
        lives = self.model.live()
        buried = self.model.in_state("dead")
        assert live.keys() == {life.entry for life in lives}
        assert dead.keys() == {life.id for life in buried}
        for life, head in [(life, live[life.entry]) for life in lives] + [(life, dead[life.id]) for life in buried]:
            flags = life.suspect + 2 * life.has_records + 4 * life.limit + 64 * life.isolated
            told = (life.type, life.priority, life.attempt, life.deliveries, flags, life.expires is not None)
            assert told == (head.type, head.priority, head.attempt, head.deliveries, head.flags, head.expires_ms > 0)
        records = self.room.ask_all(("LLEN", self.room.key("ATTEMPTS", life.id)) for life in [*lives, *buried])
        assert records == [life.records for life in [*lives, *buried]]

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
                assert runnable & set(types_of(digest))

    def the_lanes_are_those_of_the_model(self) -> None:
        lanes = {name.decode() for name in self.room.redis.hkeys(self.room.key("LANES"))}
        assert lanes == set(self.model.lanes)


def test_any_sequence_of_scripts_does_what_the_model_says(url: str) -> None:
    Machine.url = url
    run_state_machine_as_test(Machine, settings=PROFILE)
