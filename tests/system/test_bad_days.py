"""The broker's bad days, one by one: workers finish what runs, deliver what they hold, and consume again at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from distq.broker.scripts import script
from distq.embedded import EmbeddedBroker
from distq.result import Handle
from tests.support.apps.weather import app, work, work_many
from tests.support.eventually import eventually
from tests.support.host import Host
from tests.support.journal import Journal
from tests.support.ports import free_port
from tests.support.proxy import Blackhole, Chop, CutReply, CutRequest, Delay, Fault, Proxy, Refuse, Stall
from tests.system.conftest import Start

BACK_S = 2.0
"""What is promised."""


@dataclass
class Weather:
    """A server of the test's own, the network before it, two hosts behind that, and somebody who sees the server."""

    server: EmbeddedBroker
    proxy: Proxy
    admin: Any
    hosts: list[Host]
    folder: Path


@pytest.fixture
def weather(start_anywhere: Start, tmp_path: Path) -> Iterator[Weather]:
    port = free_port()
    folder = tmp_path / "data"
    with EmbeddedBroker(folder, port=port) as server, Proxy(f"redis://127.0.0.1:{port}/0") as proxy:
        app.rebind(server.url)
        with redis.Redis.from_url(server.url, retry=None) as admin:
            shapes = (["--queues", "default"], 2), (["--queues", "many", "-t", "4"], 1)
            hosts = [
                start_anywhere("weather", *shape, "--lease", "2s", processes=number, broker=proxy.url, ready=False)
                for shape, number in shapes
            ]
            for host in hosts:  # they start at the same time
                host.await_ready()
            yield Weather(server, proxy, admin, hosts, folder)
            proxy.set()
            assert [host.terminate() for host in hosts] == [0, 0]


# -- what can befall it: each block lasts as long as the bad day ------------------------------------------------------

Day = Callable[[Weather], AbstractContextManager[None]]


def setting(name: str, bad: str, good: str) -> Day:
    @contextmanager
    def day(weather: Weather) -> Iterator[None]:
        weather.admin.config_set(name, bad)
        yield
        weather.admin.config_set(name, good)

    return day


def network(make: Callable[[], Fault], cut: bool = False) -> Day:
    @contextmanager
    def day(weather: Weather) -> Iterator[None]:
        with weather.proxy.fault(make()):
            if cut:
                weather.proxy.cut()
            yield

    return day


@contextmanager
def again_and_again(act: Callable[[], object], pause: float) -> Iterator[None]:
    over = threading.Event()

    def loop() -> None:
        while not over.wait(pause):
            act()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def killed(weather: Weather) -> AbstractContextManager[None]:
    """Longer than the pauses with which they connect again."""
    return again_and_again(lambda: weather.admin.client_kill_filter(_type="normal", skipme=True), 0.1)


def flushed(weather: Weather) -> AbstractContextManager[None]:
    return again_and_again(weather.admin.script_flush, 0.05)


def paused(all: bool) -> Day:
    @contextmanager
    def day(weather: Weather) -> Iterator[None]:
        weather.admin.client_pause(1000, all=all)  # while all are paused nobody can end it
        yield

    return day


@contextmanager
def hung(weather: Weather) -> Iterator[None]:
    os.kill(weather.server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(weather.server.pid, signal.SIGCONT)


@contextmanager
def busy(weather: Weather) -> Iterator[None]:
    def spin() -> None:
        with suppress(redis.RedisError), redis.Redis.from_url(weather.server.url, retry=None) as client:
            client.eval("while true do end", 0)

    weather.admin.config_set("lua-time-limit", 20)
    thread = threading.Thread(target=spin)
    thread.start()

    def is_busy() -> bool:
        try:
            weather.admin.set("probe", 1, px=1)
        except redis.RedisError as error:
            return "BUSY" in str(error) or "busy" in str(error)
        return False

    eventually(is_busy, "the server is busy")
    yield
    weather.admin.script_kill()
    thread.join()


@contextmanager
def replica(weather: Weather) -> Iterator[None]:
    weather.admin.replicaof("127.0.0.1", 1)
    yield
    weather.admin.replicaof("NO", "ONE")


@contextmanager
def locked(weather: Weather) -> Iterator[None]:
    weather.admin.config_set("requirepass", "secret")
    weather.admin.client_kill_filter(_type="normal", skipme=True)
    yield
    weather.admin.config_set("requirepass", "")


@contextmanager
def forbidden(weather: Weather) -> Iterator[None]:
    weather.admin.execute_command("ACL", "SETUSER", "default", "-evalsha", "-bzpopmin")
    yield
    weather.admin.execute_command("ACL", "SETUSER", "default", "+@all")


@contextmanager
def full_disk(weather: Weather) -> Iterator[None]:
    """What it would save to cannot be written."""
    (weather.folder / "dump.rdb").mkdir(exist_ok=True)
    weather.admin.config_set("save", "3600 1")
    weather.admin.bgsave()
    eventually(lambda: weather.admin.info("persistence")["rdb_last_bgsave_status"] == "err", "it cannot be saved")
    yield
    weather.admin.config_set("save", "")


def lost(verb: str) -> Day:
    return network(lambda: CutReply(match=script(verb).sha, times=5))


DAYS: dict[str, Day] = {
    "connections killed": killed,
    "scripts flushed": flushed,
    "paused": paused(all=True),
    "writes paused": paused(all=False),
    "hung": hung,
    "busy": busy,
    "read only": replica,
    "no replicas": setting("min-replicas-to-write", "1", "0"),
    "full": setting("maxmemory", "1", "0"),
    "a password": locked,
    "no permission": forbidden,
    "a full disk": full_disk,
    "turned away": network(Refuse, cut=True),
    "requests lost": network(lambda: CutRequest(match="EVALSHA")),
    "replies lost": network(lambda: CutReply(match="EVALSHA")),
    "steps lost": lost("step"),
    "nothing passes": network(Blackhole),
    "requests held": network(lambda: Blackhole(replies=False)),
    "replies held": network(lambda: Blackhole(requests=False)),
    "replies stall": network(lambda: Stall(after=3)),
    "replies trickle": network(lambda: Chop(pause=0.3)),
    "slow": network(lambda: Delay(seconds=0.2)),
}


# -- the tests --------------------------------------------------------------------------------------------------------


def answered(weather: Weather) -> float:
    """When somebody else sees that the broker is back (monotonic seconds)."""

    def writes() -> bool:
        with suppress(redis.RedisError):
            return bool(weather.admin.set("probe", 1, px=1))
        return False

    eventually(writes, "the broker is back")
    return time.monotonic()


def started(journal: Journal, handles: list[Handle[str]]) -> float:
    """When the last of them started."""

    def all_started() -> bool:
        return {handle.id for handle in handles} <= {line.id for line in journal.starts()}

    eventually(all_started, "all have started", within=30.0)
    wanted = {handle.id for handle in handles}
    return max(line.at for line in journal.starts() if line.id in wanted)


def ended(journal: Journal, handles: list[Handle[str]]) -> None:
    wanted = {handle.id for handle in handles}
    eventually(lambda: wanted <= {line.id for line in journal.ends()}, "they finish what runs")


@pytest.mark.parametrize("day", DAYS)
def test_after_a_bad_day_workers_deliver_what_they_held_and_consume_again(
    weather: Weather, journal: Journal, tmp_path: Path, day: str
) -> None:
    everything: list[Handle[str]] = []
    begun = time.monotonic()
    everything += [work.delay(), work_many.delay()]
    calm_s = started(journal, everything) - begun
    pids = [host.tree for host in weather.hosts]
    for turn in range(2):
        gate = tmp_path / f"gate-{turn}"
        running = [work.delay(str(gate)), work_many.delay(str(gate)), work_many.delay(str(gate))]
        started(journal, running)
        with DAYS[day](weather):
            gate.touch()
            ended(journal, running)
            time.sleep(0.4)  # the bad day lasts
        back = answered(weather)
        fresh = [task.delay() for task in (work, work_many) for _ in range(5)]
        late_s = started(journal, fresh) - back
        assert late_s < BACK_S + 20 * calm_s, f"idle for {late_s:.2f} s after the return"
        everything += running + fresh
    assert [handle.get(timeout=20) for handle in everything] == [handle.id for handle in everything]
    assert sorted(line.id for line in journal.starts()) == sorted(handle.id for handle in everything), "each once"
    assert [host.tree for host in weather.hosts] == pids, "the processes stay"


def test_verdicts_that_the_broker_refuses_for_a_while_are_kept_by_the_supervisor(
    weather: Weather, journal: Journal, tmp_path: Path
) -> None:
    """It has taken them from a worker that a slow task holds up; the worker is idle long before they arrive."""
    [work.delay().get(timeout=20) for _ in range(20)]  # a quick type: several are fetched together
    everything: list[Handle[str]] = []
    for turn in range(2):
        gate = tmp_path / f"gate-{turn}"
        pair = work.delay_many([("",), (str(gate),)])
        started(journal, pair)
        with forbidden(weather):
            time.sleep(0.1)  # the watch gives them to the broker, which refuses
            gate.touch()
            ended(journal, pair)
        everything += pair
    assert [handle.get(timeout=20) for handle in everything] == [handle.id for handle in everything]
    wanted = sorted(handle.id for handle in everything)
    assert sorted(line.id for line in journal.starts() if line.id in wanted) == wanted, "each once"
    assert "the broker refuses settle" in weather.hosts[0].log()


def test_connections_that_nobody_resets_are_made_anew_by_all_when_the_supervisor_knows_better(
    weather: Weather, journal: Journal
) -> None:
    """As after a firewall that forgot them: who waits for a marker would wait for it until its net of 20 s."""
    known = connections(weather)
    begun = time.monotonic()
    calm = [work.delay(), work_many.delay()]
    calm_s = started(journal, calm) - begun
    weather.proxy.forget()

    def are_new(name: str) -> bool:
        now = connections(weather)
        return [now.get(id) for id in now if id not in known].count(name) >= list(known.values()).count(name)

    eventually(lambda: are_new("distq-supervisor"), "supervisors connect again", within=30)
    back = time.monotonic()
    eventually(lambda: are_new("distq-worker"), "workers connect again", within=10)
    fresh = [task.delay() for task in (work, work_many) for _ in range(5)]
    late_s = started(journal, fresh) - back
    assert late_s < BACK_S + 20 * calm_s, f"idle for {late_s:.2f} s after the return"
    eventually(lambda: are_new("distq-control"), "so do those that are told", within=10)
    everything = [*calm, *fresh]
    assert [handle.get(timeout=20) for handle in everything] == [handle.id for handle in everything]


def connections(weather: Weather) -> dict[str, str]:
    """The hosts' own, by number."""
    return {client["id"]: client["name"] for client in weather.admin.client_list() if client["name"] != "distq"}


def test_what_is_settled_on_its_way_out_does_not_run_again(
    url: str, start_anywhere: Start, journal: Journal, tmp_path: Path
) -> None:
    """A slow task holds up what was finished before it, and the supervisor settles that; the host ends meanwhile."""
    app.rebind(url)
    gate = tmp_path / "gate"
    with Proxy(url) as proxy:
        host = start_anywhere("weather", "--queues", "default", processes=1, broker=proxy.url)
        for handle in work.delay_many([()] * 500):  # from now on it fetches several at a time
            handle.get(timeout=20)
        late = Delay(match=script("settle").sha, client="distq-supervisor", seconds=1.0)
        with proxy.fault(late):
            handles = work.delay_many([*[()] * 205, (str(gate),), *[()] * 100])
            eventually(lambda: late.met, "what was finished is on its way")
            gate.touch()
            assert host.terminate() == 0
    start_anywhere("weather", "--queues", "default", processes=1, broker=url)
    assert [handle.get(timeout=20) for handle in handles] == [handle.id for handle in handles]
    assert {len(journal.starts(id=handle.id)) for handle in handles} == {1}
