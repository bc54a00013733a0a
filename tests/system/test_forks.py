"""Connections never pass a fork: calls at import, at a process's start, in handlers and in their own children."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support.apps import forking
from tests.support.eventually import eventually
from tests.support.journal import Journal
from tests.support.room import Room
from tests.system.conftest import Start


@pytest.mark.parametrize("threads", [1, 4])
def test_calls_from_everywhere_at_once_meet_no_foreign_answer(
    start_anywhere: Start, room: Room, journal: Journal, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    monkeypatch.setenv("AT_IMPORT", room.url)
    forking.app.rebind(room.url)
    host = start_anywhere("forking", "-t", str(threads), processes=2)
    children = host.children
    handles = [forking.sends.delay(f"sends-{n}", 40) for n in range(8)]
    handles += [forking.asends.delay(f"asends-{n}", 40) for n in range(8)]
    forking.several("test", 200)
    for handle in handles:
        handle.get(timeout=60)
    expected = Counter(
        ["import"]
        + [f"import-{n}" for n in range(4)]
        + [f"start-{pid}-{n}" for pid in children for n in range(10)]
        + [f"sends-{t}-{who}-{n}" for t in range(8) for who in ("parent", "child") for n in range(40)]
        + [f"asends-{t}-{n}" for t in range(8) for n in range(40)]
        + [f"test-{n}" for n in range(200)]
    )
    eventually(lambda: len(journal.ends()) >= expected.total(), "all of them run")
    assert Counter(line.label for line in journal.starts()) == expected, "each of them once"
    assert host.terminate() == 0
    assert "WARNING" not in host.log()
