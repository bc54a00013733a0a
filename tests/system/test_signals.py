"""What people and service managers ask of a host that runs, and what it tells them."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from distq.broker import verbs
from distq.result import Handle
from distq.supervisor.signals import FOR_LATER, in_order
from tests.support.apps.releases import app, await_gate, await_gate_async, chain, compute, render, wait
from tests.support.eventually import eventually
from tests.support.journal import Journal
from tests.system.conftest import Start


@pytest.fixture(autouse=True)
def bound(url: str) -> None:
    app.rebind(url)


@pytest.mark.parametrize("options", [(), ("-t", "2"), ("--coroutines", "2")], ids=["one", "threads", "coroutines"])
def test_a_quiet_host_finishes_what_runs_and_takes_nothing_until_it_goes_on(
    start: Start, journal: Journal, gate: Path, options: tuple[str, ...]
) -> None:
    host = start("releases", *options)
    running = await_gate.delay(str(gate))
    eventually(lambda: journal.starts(id=running.id), "it runs")
    host.send_all(signal.SIGTSTP)  # as Ctrl-Z does
    host.await_log("SIGTSTP: finishing what runs")
    eventually(lambda: len(host.children) == 1, "those that run nothing have ended")
    waiting = wait.delay(0)
    gate.touch()
    assert running.get(timeout=10) == "1"
    eventually(lambda: not host.children, "nobody is left")
    assert waiting.status() == "queued"
    host.send(signal.SIGCONT)
    waiting.get(timeout=10)
    host.send(signal.SIGTSTP)
    assert host.terminate() == 0


def test_who_was_told_to_end_before_it_had_work_is_replaced_at_once(start: Start) -> None:
    host = start("releases", processes=1)
    for _ in range(8):  # a process that cannot start would be replaced after 10 s now
        host.send(signal.SIGTSTP)
        eventually(lambda: not host.children, "it has ended")
        host.send(signal.SIGCONT)
        eventually(lambda: host.children, "there is another one", within=5.0)


@pytest.mark.parametrize("options", [("-t", "3"), ("--coroutines", "3")], ids=["threads", "coroutines"])
def test_whoever_is_told_to_be_quiet_and_to_go_on_in_one_breath_loses_no_time_and_no_task(
    start: Start, journal: Journal, options: tuple[str, ...]
) -> None:
    host = start("releases", *options)
    handles = wait.delay_many([(0.002,)] * 300)
    eventually(lambda: len(journal.ends()) > 20, "they work")
    while len(journal.ends()) < 250:
        host.send(signal.SIGTSTP)
        host.send(signal.SIGCONT)
    for handle in handles:
        handle.get(timeout=10)
    assert len(journal.starts()) == 300
    assert host.terminate() == 0


def test_signals_are_obeyed_in_the_order_in_which_they_came() -> None:
    quiet, goes_on = signal.SIGTSTP, signal.SIGCONT
    assert in_order(bytes([quiet, goes_on])) == [quiet, goes_on]
    assert in_order(bytes([goes_on, signal.SIGCHLD, quiet])) == [goes_on, quiet]
    assert in_order(bytes([quiet, goes_on, quiet, goes_on])) == [quiet, goes_on]


@pytest.mark.parametrize("options", [(), ("-t", "2"), ("--coroutines", "2")], ids=["one", "threads", "coroutines"])
def test_usr1_shows_what_everybody_is_at(start: Start, journal: Journal, gate: Path, options: tuple[str, ...]) -> None:
    host = start("releases", *options)
    handles: list[Handle[Any]] = [await_gate.delay(str(gate)), await_gate_async.delay(str(gate))]
    eventually(lambda: len(journal.starts()) == 2, "both run")
    before, prefix = host.children, app.broker.prefix("default")
    eventually(lambda: len(app.broker.run(verbs.workers(prefix))) == len(before), "nobody is still starting")
    host.send(signal.SIGUSR1)
    host.await_log("stacks, as asked for with USR1", times=len(before))
    for handle, name in zip(handles, ("await_gate", "await_gate_async"), strict=True):
        assert f"{handle.id} for " in host.log(), "by the board"
        eventually(lambda handle=handle: f"runs {handle.id}:" in host.log(), "by itself")  # type: ignore[misc]
        assert f"in {name}\n" in host.log()
    gate.touch()
    for handle in handles:
        handle.get(timeout=10)
    assert host.children == before


def blocks(pid: int, number: int) -> bool:
    """Whether the main thread of this process blocks the signal."""
    mask = Path(f"/proc/{pid}/status").read_text().partition("SigBlk:")[2].partition("\n")[0]
    return bool(int(mask, 16) >> (number - 1) & 1)


def test_usr1_and_hup_in_the_first_moments_of_a_host_wait_until_they_can_be_obeyed(start: Start) -> None:
    host = start("releases", ready=False)
    eventually(lambda: all(blocks(host.supervisor, number) for number in FOR_LATER), "the program has begun")
    for number in FOR_LATER:
        host.send(number)
    host.await_ready()
    assert not any(blocks(pid, number) for pid in (host.supervisor, *host.children) for number in FOR_LATER)
    assert host.terminate() == 0


def test_usr1_shows_also_what_is_stuck_in_c_code(start: Start, journal: Journal) -> None:
    host = start("releases", processes=1)
    handle = compute.delay(250_000_000)
    eventually(lambda: journal.starts(id=handle.id), "it runs")
    host.send(signal.SIGUSR1)
    host.await_log("has not answered: it is in code that keeps the interpreter")
    assert f"runs {handle.id} for " in host.log()
    eventually(lambda: "in compute" in host.log(), "with its stack")
    handle.get(timeout=60)
    host.await_log("stacks, as asked for with USR1")


@pytest.mark.parametrize("options", [(), ("-t", "2"), ("--coroutines", "2")], ids=["one", "threads", "coroutines"])
def test_a_burst_does_all_that_is_there_and_what_that_enqueues(
    start: Start, journal: Journal, options: tuple[str, ...]
) -> None:
    later = wait.options(delay=3600).delay(0)
    handles = chain.delay_many([(5,)] * 20)
    host = start("releases", "--burst", *options)
    assert host.wait() == 0
    assert "nothing is left to do but 1 task scheduled for later: finishing what runs" in host.log()
    assert {handle.status() for handle in handles} == {"completed"}
    assert len(journal.ends()) == 20 * 6
    assert later.status() == "scheduled"
    assert start("releases", "--burst", *options).wait() == 0, "also when there is nothing"


def test_a_burst_says_what_it_waits_for(start: Start, tmp_path: Path) -> None:
    wait.options(delay=3600).delay(0)
    render.delay_many([()] * 3)
    host = start("releases", "--burst", processes=1)
    host.await_log(
        "burst: 3 tasks ready, 0 running; it ends when none is; 1 scheduled for later do not count; 3 wait for"
    )
    assert "wait for their rate or a host that takes their type (there are: render 3, wait 1)" in host.log()
    assert start("releases", "--tag", "gpu", "--burst", processes=1).wait() == 0
    assert host.wait() == 0


def test_a_service_manager_is_told(
    start: Start, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = journal.place.parent / "release"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        host = start("releases")

        def heard(text: str) -> None:
            while manager.recv(1000).decode().partition("\n")[0] != text:
                pass

        heard("READY=1")
        heard("WATCHDOG=1")
        for text in ("2", "broken"):
            release.write_text(text)
            host.send(signal.SIGHUP)
            heard("RELOADING=1")
            heard("READY=1")
        assert wait.delay(0).get(timeout=10)[0] == "2"
        host.send(signal.SIGTERM)
        heard("STOPPING=1")
        assert host.wait() == 0
