"""What a handler says while it runs: how far it is, and what it logs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from distq import Handle
from distq.supervisor.reports import EVERY_S
from tests.support.apps import progress
from tests.support.apps.progress import app
from tests.support.eventually import eventually
from tests.support.host import Host
from tests.support.journal import Journal
from tests.support.monitor import Monitor
from tests.support.room import Room
from tests.system.conftest import Start


@pytest.fixture(autouse=True)
def bound(url: str) -> None:
    app.rebind(url)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_last_word_of_each_task_is_shown_and_goes_with_it(
    start: Start, room: Room, tmp_path: Path, threads: int
) -> None:
    start("progress", "-t", str(threads), processes=2)
    gate = tmp_path / "gate"
    handles = [progress.says.delay(1000 + n, str(gate)) for n in range(2 * threads)]
    for n, handle in enumerate(handles):
        await_progress(handle, 1000 + n)
        said = handle.progress()
        assert said is not None
        assert (said.total, said.text) == (1000 + n, f"row {1000 + n}")
    assert asyncio.run(app.result(handles[0].id).aprogress()) == handles[0].progress()
    gate.touch()
    for handle in handles:
        handle.get(timeout=20)
        assert handle.progress() is None
    assert not [key for key in room.all_keys() if ":memory:" in key]


def test_what_cannot_be_said_is_refused_and_the_rest_is_shown(start: Start, tmp_path: Path) -> None:
    start("progress", "-t", "9", processes=1)
    gate = tmp_path / "gate"
    handles = {what: progress.says_oddly.delay(what, str(gate)) for what in progress.ODD}
    refused = {
        "a large number": "ValueError: progress(done=…): give a number from -2**63 to 2**63, or leave it out",
        "NaN": "ValueError: progress(total=…): give a number from -2**63 to 2**63, or leave it out",
        "infinity": "ValueError: progress(done=…): give a number from -2**63 to 2**63, or leave it out",
        "no number": "TypeError: progress(done=…): give a number, not list",
        "digits": "TypeError: progress(done=…): give a number, not str",
        "no text": "TypeError: progress(text=…): give a str, not NoneType",
        "a list as text": "TypeError: progress(text=…): give a str, not list",
    }
    assert {what: handles[what].get(timeout=20) for what in refused} == refused
    await_progress(handles["a fraction"], 1)
    await_progress(handles["a long text"], 1)
    said, fraction = handles["a long text"].progress(), handles["a fraction"].progress()
    assert said is not None
    assert fraction is not None
    assert (len(said.text), fraction.total) == (200, 2.5)
    gate.touch()
    assert {handles[what].get(timeout=20) for what in ("a fraction", "a long text")} == {"said"}


def await_progress(handle: Handle[Any], done: int) -> None:
    def is_there() -> bool:
        said = handle.progress()
        return said is not None and said.done == done

    eventually(is_there, "what was said last is shown")


def test_what_is_said_often_is_sent_seldom(start: Start, room: Room, journal: Journal) -> None:
    start("progress", processes=1)
    progress.measures.delay(1).get(timeout=20)
    monitor = Monitor(room.url)
    handle = progress.measures.delay(150_000)
    handle.get(timeout=60)
    sent = [line for line in monitor.commands(0.1) if '"progress"' in line]
    ((begin,), (end,)) = (journal.lines(event, handle.id) for event in ("START", "END"))
    assert 0 < len(sent) <= 2 + (end.at - begin.at) / EVERY_S, f"1,050,000 calls, {len(sent)} commands"


def test_a_call_costs_little(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside a call of `msgpack`, which is most of it; a write for each would be a hundred times as much."""
    start("progress", processes=1)
    cost = progress.measures.delay(1_000, 200).get(timeout=60)
    with capsys.disabled():
        print(f"\nprogress(): {cost:.2f} µs")


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_a_task_logs_carries_its_id_and_stays_with_a_failed_attempt(
    start: Start, room: Room, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_AS", form)
    host: Host = start("progress", processes=1)
    handle = progress.logs.delay(30)
    eventually(lambda: handle.status() == "dead", "it fails")
    lines = [line for line in host.log().splitlines() if "line 29" in line]
    if form == "json":
        assert [json.loads(line)["task_id"] for line in lines] == [handle.id]
        assert json.loads(lines[0])["type"] == "logs"
    else:
        assert lines[0].endswith(f"shop: line 29 [{handle.id}]")
    kept = room.attempts(handle.id)[0]["log"].splitlines()
    assert len(kept) == 20
    assert kept[-1].endswith("INFO shop: line 29")
