"""Days that outlast a lease, or that the broker's memory does not survive: nobody does what is not his any more."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from distq.broker import keys
from distq.result import Handle
from tests.support.apps.weather import app, fails_once, work
from tests.support.eventually import eventually
from tests.support.host import Host
from tests.support.journal import Journal
from tests.support.ports import free_port
from tests.support.proxy import Blackhole, Fault, Proxy, Refuse
from tests.support.sentinel import Server
from tests.system.conftest import Start

LEASE_S = 1.0
OPTIONS = ("--queues", "default", "--lease", f"{LEASE_S:g}s")
BACK_S = 2.0
"""What is promised, after the broker's return."""
SHAPES = {"processes": (2, 1), "threads": (1, 4)}
"""Processes, and threads of each."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """It keeps nothing, but for a SAVE that somebody asks for."""
    settings = ["save ''", "enable-debug-command yes"]
    server = Server(free_port(), tmp_path / "server", settings)
    app.rebind(f"redis://127.0.0.1:{server.port}/0")
    yield server
    with suppress(ProcessLookupError):
        server.send(signal.SIGCONT)
    server.stop()
    server.client.close()


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with Proxy(f"redis://127.0.0.1:{server.port}/0") as proxy:
        yield proxy


def begin(start: Start, shape: str, url: str) -> Host:
    processes, threads = SHAPES[shape]
    return start("weather", *OPTIONS, "-t", str(threads), processes=processes, broker=url)


def started(journal: Journal, handles: list[Handle[str]], times: int = 1) -> None:
    wanted = {handle.id for handle in handles}

    def have() -> bool:
        found = Counter(line.id for line in journal.starts())
        return all(found[id] >= times for id in wanted)

    eventually(have, f"they have started {times} times", within=30)


def held_up(journal: Journal, gate: Path, number: int) -> list[Handle[str]]:
    """So many tasks that run until the gate is there."""
    running = [work.delay(str(gate)) for _ in range(number)]
    started(journal, running)
    return running


def runs(journal: Journal, handles: list[Handle[str]]) -> list[int]:
    """How often each of them was started."""
    found = Counter(line.id for line in journal.starts())
    return [found[handle.id] for handle in handles]


def completed(server: Server) -> int:
    ledger: dict[bytes, bytes] = server.client.hgetall(keys.key(keys.prefix("weather", "default"), "LEDGER"))
    return int(ledger.get(b"completed work", 0))


def lasts(leases: float) -> None:
    time.sleep(leases * LEASE_S)


# -- fences -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "hole",
    [Blackhole, lambda: Blackhole(replies=False), lambda: Blackhole(requests=False)],
    ids=["both", "requests", "replies"],
)
def test_a_host_that_is_cut_off_for_longer_than_its_lease_settles_nothing_and_starts_nothing_stale(
    proxy: Proxy, server: Server, start_anywhere: Start, journal: Journal, gate: Path,
    hole: Callable[[], Fault], shape: str,
) -> None:  # fmt: skip
    cut_off = begin(start_anywhere, shape, proxy.url)
    quick = [work.delay() for _ in range(20)]  # a quick type: several are fetched together
    assert [handle.get(timeout=20) for handle in quick] == [handle.id for handle in quick]
    held = [*work.delay_many([(str(gate),), *[("",)] * 8, (str(gate),)])]
    slow = [held[0], held[-1]]
    started(journal, slow)
    its = set(cut_off.tree)
    with proxy.fault(hole()):
        cut_at = time.monotonic()
        other = begin(start_anywhere, shape, app.url)
        started(journal, slow, times=2)
        gate.touch()
        assert [handle.get(timeout=30) for handle in held] == [handle.id for handle in held]
        before = completed(server)
        eventually(lambda: len(journal.ends(slow[0].id)) == 2, "the host that is cut off has finished its run, too")
        assert other.terminate() == 0
    fresh = [work.delay() for _ in range(20)]
    assert [handle.get(timeout=30) for handle in fresh] == [handle.id for handle in fresh]
    assert runs(journal, [*quick, *fresh]) == [1] * 40
    theirs = Counter((line.id, line.pid in its) for line in journal.starts())
    assert all(theirs[handle.id, where] == 1 for handle in slow for where in (True, False))
    assert max(theirs.values()) == 1, "nothing twice in one host"
    ids = {handle.id for handle in held}
    assert all(line.at < cut_at + LEASE_S for line in journal.starts() if line.pid in its and line.id in ids)
    fences = [line.fence for line in journal.starts(slow[0].id)]
    assert fences == sorted(fences)
    assert completed(server) == before + len(fresh), "what it ran was not settled again"
    assert cut_off.terminate() == 0


# -- a server that hangs ----------------------------------------------------------------------------------------------


def stopped(server: Server) -> None:
    server.send(signal.SIGSTOP)
    lasts(2.5)
    server.send(signal.SIGCONT)


def asleep(server: Server) -> None:
    server.client.execute_command("DEBUG", "SLEEP", 2.5 * LEASE_S)


@pytest.mark.parametrize("hang", [stopped, asleep])
def test_a_server_that_hangs_for_longer_than_the_lease_costs_nobody_his_tasks(
    server: Server, start_anywhere: Start, journal: Journal, gate: Path, hang: Callable[[Server], None]
) -> None:
    """When it goes on, all leases are over by its clock: but nobody was seen silent while it ran."""
    hosts = [begin(start_anywhere, shape, app.url) for shape in SHAPES]
    pids = [host.tree for host in hosts]
    running = held_up(journal, gate, 6)
    hang(server)
    lasts(1.5)  # time to reap whom they might
    gate.touch()
    fresh = [work.delay() for _ in range(6)]
    everything = [*running, *fresh]
    assert [handle.get(timeout=20) for handle in everything] == [handle.id for handle in everything]
    assert runs(journal, everything) == [1] * 12
    assert not [host.log() for host in hosts if "is lost" in host.log() or "has lost its lease" in host.log()]
    assert [host.tree for host in hosts] == pids, "the processes stay"
    assert [host.terminate() for host in hosts] == [0, 0]


def test_who_was_away_together_with_the_broker_is_not_taken_for_lost_when_it_returns(
    proxy: Proxy, start_anywhere: Start, journal: Journal, gate: Path
) -> None:
    """All connect again after pauses of their own: the first one must not find the others silent."""
    hosts = [begin(start_anywhere, shape, proxy.url) for shape in SHAPES for _ in range(2)]
    running = held_up(journal, gate, 12)
    for _ in range(2):
        with proxy.fault(Refuse()):
            proxy.cut()
            lasts(2)
        lasts(1)
    gate.touch()
    assert [handle.get(timeout=20) for handle in running] == [handle.id for handle in running]
    assert runs(journal, running) == [1] * 12
    assert not [host.log() for host in hosts if "is lost" in host.log()]
    assert [host.terminate() for host in hosts] == [0] * 4


# -- a server that comes back without its memory, or slowly ------------------------------------------------------------


def test_after_a_restart_that_kept_nothing_workers_register_anew_and_work(
    server: Server, start_anywhere: Start, journal: Journal, gate: Path
) -> None:
    hosts = [begin(start_anywhere, shape, app.url) for shape in SHAPES]
    pids = [host.tree for host in hosts]
    running = held_up(journal, gate, 6)
    waiting = [work.delay() for _ in range(3)]
    server.stop()
    lasts(0.3)
    server.start()
    fresh = [work.delay() for _ in range(6)]
    gate.touch()
    assert [handle.get(timeout=20) for handle in fresh] == [handle.id for handle in fresh]
    eventually(lambda: len(journal.ends()) == 12, "what ran has run to its end")
    assert [handle.status() for handle in (*running, *waiting)] == ["unknown"] * 9
    assert runs(journal, [*running, *waiting, *fresh]) == [1] * 6 + [0] * 3 + [1] * 6
    assert [host.tree for host in hosts] == pids, "the processes stay"
    assert [host.terminate() for host in hosts] == [0, 0]
    assert completed(server) == 6


def test_a_server_that_loads_its_data_is_waited_for(
    server: Server, start_anywhere: Start, journal: Journal, gate: Path
) -> None:
    hosts = [begin(start_anywhere, shape, app.url) for shape in SHAPES]
    running = held_up(journal, gate, 6)
    server.client.mset({f"ballast:{n}": os.urandom(4096) for n in range(40)})
    server.client.save()
    pids = [host.tree for host in hosts]
    server.stop()
    server.options += ["--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024"]
    server.start_only()
    said: set[str] = set()

    def loads(probe: Any) -> bool:
        try:
            return bool(probe.set("probe", 1, px=1))
        except redis.BusyLoadingError:
            said.add("LOADING")
        except redis.ConnectionError:  # not there yet
            pass
        return False

    gate.touch()
    begun = time.monotonic()
    with redis.Redis.from_url(app.url, retry=None) as probe:
        eventually(lambda: loads(probe), "it has loaded")
    back = time.monotonic()
    fresh = [work.delay() for _ in range(6)]
    everything = [*running, *fresh]
    assert [handle.get(timeout=20) for handle in everything] == [handle.id for handle in everything]
    assert said, "it was seen to load"
    assert runs(journal, everything) == [1] * 12
    first = min(line.at for line in journal.starts() if line.id in {handle.id for handle in fresh})
    assert first - back < BACK_S + (back - begun)
    assert [host.tree for host in hosts] == pids, "the processes stay"
    assert [host.terminate() for host in hosts] == [0, 0]


# -- a server that is full --------------------------------------------------------------------------------------------


def cpu_s(hosts: list[Host]) -> float:
    """Processor seconds of their processes so far."""
    stats = [Path(f"/proc/{pid}/stat") for host in hosts for pid in host.tree]
    found = [stat.read_text().rpartition(")")[2].split() for stat in stats]
    return sum(int(fields[11]) + int(fields[12]) for fields in found) / os.sysconf("SC_CLK_TCK")


def test_a_full_server_is_no_reason_to_burn_the_processor_or_to_fill_the_log(
    server: Server, start_anywhere: Start, journal: Journal
) -> None:
    hosts = [begin(start_anywhere, shape, app.url) for shape in SHAPES]
    pids = [host.tree for host in hosts]
    backlog: list[Handle[Any]] = [*work.delay_many([("",)] * 300), *fails_once.delay_many([()] * 20)]
    server.client.config_set("maxmemory", 1)
    eventually(lambda: len(journal.ends()) == 340, "all have run, and the retries too", within=30)
    assert {handle.id for handle in backlog} == {line.id for line in journal.ends()}
    lines = [host.log().count("\n") for host in hosts]
    burnt, begun = cpu_s(hosts), time.monotonic()
    lasts(3)
    burnt, took = cpu_s(hosts) - burnt, time.monotonic() - begun
    assert burnt < 0.2 * took, f"{burnt:.2f} s of the processor in {took:.2f} s"
    said = [host.log().count("\n") - before for host, before in zip(hosts, lines, strict=True)]
    assert max(said) < 10, [host.log() for host in hosts]
    server.client.config_set("maxmemory", 0)
    fresh = [work.delay() for _ in range(6)]
    assert [handle.get(timeout=20) for handle in fresh] == [handle.id for handle in fresh]
    assert [host.tree for host in hosts] == pids, "the processes stay"
    assert [host.terminate() for host in hosts] == [0, 0]
