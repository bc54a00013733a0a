"""Our own figures: bounds, ratios of rounds, the page and the charts made of them, and the floor beside them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import __main__ as door
from benchmarks import bareloop, floor, report
from benchmarks.figure import Figure, compared, measured, percentile
from benchmarks.host import pauses, rate_between, room
from benchmarks.machine import await_quiet
from benchmarks.processes import below, cpu_seconds, pss_mib
from benchmarks.turns import by_turns
from benchmarks.work import burn
from distq.worker.pace import MOST

CALIBRATION = {"loop_ms": 70.0, "ping_us": 16.0, "load": 0.3}


def test_every_round_begins_with_another_side() -> None:
    order: list[str] = []
    found = by_turns(3, {"a": lambda: order.append("a"), "b": lambda: order.append("b")})
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert {name: len(values) for name, values in found.items()} == {"a": 3, "b": 3}


def test_a_bound_is_about_the_median_of_the_rounds_ratios_not_about_the_ratio_of_medians() -> None:
    figure = compared("x", "tasks/s", [80.0, 50.0, 300.0], [100.0, 50.0, 500.0], "bare", at_least=0.8)
    assert figure.value == 80
    assert figure.judged == 0.8
    assert figure.is_reached
    assert figure.beside == "bare 100: 0.80 ×"
    assert not compared("x", "tasks/s", [79.0, 50.0, 300.0], [100.0, 50.0, 500.0], "bare", at_least=0.8).is_reached


def test_a_figure_without_a_bound_is_reached_and_one_with_a_bound_may_miss_it() -> None:
    assert measured("x", "ms", [1.0, 9.0, 3.0]).value == 3
    assert measured("x", "ms", [1.0, 9.0, 3.0]).is_reached
    assert measured("x", "ms", [1.0, 9.0, 3.0], at_most=3).is_reached
    assert not measured("x", "ms", [1.0, 9.0, 3.0], at_most=2.9).is_reached
    assert measured("x", "ms", [1.0], at_most=20).wanted == "≤ 20 ms"
    assert compared("x", "ms", [1.0], [1.0], "bare", at_most=1.8).wanted == "≤ 1.8 ×"
    assert percentile([3.0, 1.0, 2.0, 4.0], 0.5) == 2


@pytest.fixture
def document() -> dict[str, Any]:
    figures = [
        compared("no-op drain", "tasks/s", [90.0, 80.0], [100.0, 100.0], "bare loop", at_least=0.9),
        measured("p99", "ms", [1.5, 2.5], at_most=5),
    ]
    lonely = [Figure("memory grows by", 0.1, "MiB")]
    return report.document(
        {"drain": ("Draining", figures), "memory": ("Memory", lonely)}, 2, [CALIBRATION, CALIBRATION]
    )


def test_the_page_has_every_figure_and_says_which_bound_is_missed(document: dict[str, Any]) -> None:
    page = report.markdown(document)
    assert "| no-op drain | 85.0 tasks/s | bare loop 100: 0.85 × | ≥ 0.9 ×, **not reached** |" in page
    assert "| p99 | 2.00 ms |  | ≤ 5 ms |" in page
    assert "| memory grows by | 0.10 MiB |  |  |" in page
    assert "a fixed loop of plain Python: 70.0 (70.0 to 70.0) ms" in page
    assert re.search(r"redis [\d.]+, hiredis [\d.]+, msgpack [\d.]+", page)


def test_the_documents_files_are_written_and_old_charts_go(document: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "own-gone.svg").write_text("old")
    (tmp_path / "drain.svg").write_text("not ours")
    report.write(document, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"figures.json", "figures.md", "own-drain.svg", "drain.svg"}
    assert json.loads((tmp_path / "figures.json").read_text("utf-8")) == json.loads(json.dumps(document))
    for link in re.findall(r"\]\((\S+?\.svg)\)", (tmp_path / "figures.md").read_text("utf-8")):
        assert (tmp_path / link).exists()


def test_a_chart_has_the_bare_bar_above_ours_and_stays_within_the_picture(document: dict[str, Any]) -> None:
    document["benchmarks"][0]["figures"][0]["what"] = "a name that is much longer than any that there was before it"
    picture = ElementTree.fromstring(report.charts(document)["own-drain.svg"])
    svg = "{http://www.w3.org/2000/svg}"
    width = float(str(picture.get("width")))
    bars = picture.findall(f"{svg}rect")
    assert [bar.get("class") for bar in bars] == ["bare", "ours"], "what has another unit is not in it"
    for bar in bars:
        assert float(str(bar.get("x"))) + float(str(bar.get("width"))) <= width
    for text in picture.findall(f"{svg}text"):
        if text.get("text-anchor") == "end":
            assert 6 * len("".join(text.itertext())) <= float(str(text.get("x")))


def test_the_command_ends_with_1_and_names_what_is_missed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bound = {"most": 5.0}
    monkeypatch.setitem(
        door.ALL, "drain", ("Draining", lambda rounds: [measured("p99", "ms", [4.0], at_most=bound["most"])])
    )
    monkeypatch.setattr("sys.argv", ["benchmarks", "drain", "--json", str(tmp_path / "x.json")])
    assert door.main() == 0
    assert "all wanted figures reached" in capsys.readouterr().out
    bound["most"] = 3.0
    assert door.main() == 1
    assert "not reached: p99: wanted ≤ 3 ms" in capsys.readouterr().out
    (benchmark,) = json.loads((tmp_path / "x.json").read_text("utf-8"))["benchmarks"]
    assert benchmark["figures"][0]["is_reached"] is False
    assert {"loop_ms", "ping_us", "load"} == set(json.loads((tmp_path / "x.json").read_text())["calibrations"][0])


@pytest.mark.parametrize("option", ["-tasks", "-workers"])
@pytest.mark.parametrize("number", ["0", "-1", "many", "1.5"])
def test_what_is_no_number_of_tasks_or_workers_is_refused(
    option: str, number: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["benchmarks", option, number])
    with pytest.raises(SystemExit) as ended:
        door.main()
    assert ended.value.code == 2
    assert option in capsys.readouterr().err


def test_the_first_systems_command_line_puts_its_figures_beside_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.first.EACH", 3)
    monkeypatch.setattr("sys.argv", ["benchmarks", "-tasks", "505", "-workers", "2"])
    door.main()
    said = capsys.readouterr().out
    for line in ("enqueueing 505 no-op tasks from 10 producers", "with 2 workers", "running 6 tasks of 100 ms"):
        assert line in said
    for what, theirs in (
        ("enqueue, 10 producers", "~30,000"),
        ("each slot", "first system 10"),
        ("p50", "< 110"),
        ("p95", "< 150"),
        ("p99", "< 200"),
        ("memory of each worker", "~25"),
    ):
        assert re.search(rf"{re.escape(what)}.*{re.escape(theirs)}", said), (what, said)
    assert "measuring drain" not in said, "only what was asked for"


# -- the floor --------------------------------------------------------------------------------------------------------


def test_the_bare_loops_run_every_task_once_in_batches_as_large_as_ours() -> None:
    assert bareloop.BATCH == MOST
    with room() as place:
        assert floor.drain(place, 1000, 2) > 0
        assert place.client.exists(bareloop.QUEUE, bareloop.TASKS) == 0
        assert len(list(place.client.scan_iter("bare:result:*"))) == 1000


def test_bare_hand_overs_arrive_after_they_were_sent_and_come_back_later_than_that() -> None:
    with room() as place:
        there = floor.hand_over(place, [0.0] * 20)
        back = floor.round_trip(place, [0.0] * 20)
    assert len(there) == len(back) == 20
    assert min(there) > 0
    assert min(back) > 0


def test_bare_threads_sleep_at_most_as_often_as_they_can() -> None:
    assert 0 < floor.sleepers(2, 3, 0.01, 0.1) <= 2 * 3 / 0.01


def test_workers_that_stand_still_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.host.PATIENCE_S", 0.1)
    with pytest.raises(Exception, match="stopped at 3 of 10"):
        rate_between(lambda: 3, 10)


def test_pauses_are_the_same_for_all() -> None:
    assert pauses(5) == pauses(5)
    assert len(set(pauses(5))) == 5


def test_quiet_is_waited_for_as_long_as_it_is_said() -> None:
    assert await_quiet(0)
    busy = "import os; any(os.fork() == 0 for _ in range(os.cpu_count() or 1))\nwhile True: pass"
    child = subprocess.Popen([sys.executable, "-c", busy], start_new_session=True)
    try:
        begun = time.monotonic()
        assert not await_quiet(1.0)
        assert time.monotonic() - begun >= 1.0
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def test_the_processor_time_of_processes_is_that_which_they_used() -> None:
    before, own = cpu_seconds([os.getpid()]), os.times()
    burn(0.2)
    used, after = cpu_seconds([os.getpid()]) - before, os.times()
    assert used == pytest.approx(after.user + after.system - own.user - own.system, abs=0.05)
    assert used >= 0.19


def test_memory_that_is_used_is_counted() -> None:
    child = subprocess.Popen(["sleep", "60"])
    try:
        alone = pss_mib(below({os.getpid()}))
        ballast = bytearray(b"x" * (20 << 20))
        assert pss_mib(below({os.getpid()})) - alone > 15
        assert child.pid in below({os.getpid()})
        assert len(ballast) == 20 << 20
    finally:
        child.kill()
        child.wait()
