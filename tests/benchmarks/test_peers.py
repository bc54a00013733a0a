"""The harness that measures task queues side by side, run for real with distq alone and tiny sizes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.peers.install import Unavailable, install
from benchmarks.peers.run import Run
from benchmarks.peers.stage import crew, producer, stage, until
from benchmarks.peers.systems import BY_KEY, ROOT, System
from benchmarks.peers.workloads import Scale
from benchmarks.processes import below
from tests.support.eventually import eventually

DISTQ = BY_KEY["distq"]
TINY = Scale(seconds=0.05, stamps=4, idle_s=0.3, settle_s=0.0)


def state(pid: int) -> str:
    """R, S, T (stopped), Z; nothing for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[0]
    except OSError:
        return ""


def peers(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.peers", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=100,
        check=False,
    )  # fmt: skip


def are_gone(pids: set[int]) -> Callable[[], bool]:
    return lambda: all(state(pid) in ("", "Z") for pid in pids)


def test_a_run_with_distq_alone_measures_everything_and_writes_the_report(tmp_path: Path) -> None:
    tiny = ["--rounds", "1", "--seconds", "0.05", "--stamps", "4", "--idle", "0.3", "--settle", "0"]
    done = peers("distq", *tiny, "--out", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads((tmp_path / "peers.json").read_text("utf-8"))
    assert (document["skipped"], document["problems"]) == ([], [])
    (system,) = document["systems"]
    rates = {"enqueue_1", "enqueue_10", "bulk", "drain_1", "drain_2", "drain_4", "latency_p50", "latency_p99", "memory"}
    assert set(system["numbers"]) == rates | {"idle", "sleep"}
    assert all(len(values) == 1 for values in system["numbers"].values())
    assert all(value > 0 for key in rates for value in system["numbers"][key])
    assert set(document["bare"]["numbers"]) == rates - {"memory"}
    assert document["machine"]["loop_ms"][0] > 0
    assert "| distq |" in (tmp_path / "README.md").read_text("utf-8")
    assert "distq" in done.stdout
    again = tmp_path / "again"
    done = peers("--again", str(tmp_path / "peers.json"), "--out", str(again))
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("peers.json", "README.md", "drain.svg"):
        assert (again / name).read_bytes() == (tmp_path / name).read_bytes()


def test_an_unknown_system_is_refused_with_those_that_there_are() -> None:
    done = peers("sellery")
    assert done.returncode == 2
    assert "no system sellery; there are: distq, celery" in done.stderr


@pytest.mark.parametrize(
    ("system", "why"),
    [
        (
            replace(DISTQ, workers=lambda processes, slots: [["sh", "-c", "echo SomeError: no luck >&2; exit 3"]]),
            "no luck",
        ),
        (replace(DISTQ, workers=lambda processes, slots: [["no-such-program"]]), "cannot be started"),
        (replace(DISTQ, producer=["sh", "-c", "echo SomeError: no luck >&2"]), "no luck"),
        (replace(DISTQ, key="absent", packages=("distq-no-such==1",), language="Ruby"), "absent"),
    ],
    ids=["worker ends", "no worker", "producer ends", "cannot be installed"],
)
def test_a_system_that_does_not_work_is_left_out_with_its_reason(
    system: System, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if system.key == "absent":
        monkeypatch.setenv("PATH", "")
        why = "needs Debian's package"
    said: list[str] = []
    document = Run([system], ["drain-2"], TINY, said.append).document()
    assert document["systems"] == []
    (skipped,) = document["skipped"]
    assert skipped["name"] == "distq"
    assert why in skipped["why"]
    assert any("left out" in text for text in said)


def test_a_system_that_fails_in_a_round_leaves_the_others_their_figures() -> None:
    is_broken = False

    def workers(processes: int, slots: int | None) -> list[list[str]]:
        return [["false"]] if is_broken else DISTQ.workers(processes, slots)

    run = Run([replace(DISTQ, key="broken", name="Broken", workers=workers), DISTQ], ["drain-1"], TINY, print)
    is_broken = True
    run.round(0)
    document = run.document()
    assert [problem["system"] for problem in document["problems"]] == ["broken"]
    assert document["systems"][0]["numbers"] == {}
    assert set(document["systems"][1]["numbers"]) == {"drain_1"}


def test_halted_workers_run_nothing_until_they_go_on_and_none_is_left_over() -> None:
    with stage(DISTQ) as place, crew(place, 2) as workers, producer(place) as hand:
        hand.enqueue(10)
        until(lambda: place.count() == 10, "warming up", workers)
        with workers.halted():
            members = workers.members
            assert len(members) >= 4, "a supervisor, a template, two children"
            eventually(lambda: {state(pid) for pid in members} == {"T"}, "all are stopped")
            hand.bulk(100)
            assert place.count() == 10
        until(lambda: place.count() == 110, "they go on", workers)
        assert workers.pss_mib() > 1
        assert hand.ask("value", number=7) == {"value": 7}
    eventually(are_gone(members), "all have ended")


def test_what_does_not_end_by_itself_is_ended() -> None:
    stubborn = replace(
        DISTQ, workers=lambda processes, slots: [["sh", "-c", "trap '' TERM; sleep 60 & sleep 60; wait"]]
    )
    with stage(stubborn) as place, crew(place, 1) as workers:
        members = eventually(lambda: len(workers.members) >= 3 and workers.members, "it runs")
        assert isinstance(members, set)
    eventually(are_gone(members), "all have ended")


def test_a_producer_that_does_not_answer_is_given_up() -> None:
    with stage(replace(DISTQ, producer=["sleep", "60"])) as place, producer(place) as hand:
        begun = time.monotonic()
        with pytest.raises(Unavailable, match="does not answer"):
            hand.ask("enqueue", within=0.2, number=1, producers=1, task="noop")
        assert time.monotonic() - begun < 30


def test_processes_below_others_are_found() -> None:
    child = subprocess.Popen(["sh", "-c", "sleep 60 & wait"])
    try:
        eventually(lambda: len(below({child.pid})) == 2, "the shell and its child")
        assert os.getpid() in below({os.getpid()})
        assert child.pid in below({os.getpid()})
    finally:
        for pid in below({child.pid}):
            os.kill(pid, 9)
        child.wait()


def test_distq_itself_needs_no_installation() -> None:
    install(DISTQ)
