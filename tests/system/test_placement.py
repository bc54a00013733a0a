"""Which host runs which types."""

from __future__ import annotations

import pytest

from tests.support.apps.releases import app, await_seconds, render, wait
from tests.support.eventually import eventually
from tests.support.journal import Journal
from tests.system.conftest import Start


@pytest.fixture(autouse=True)
def bound(url: str) -> None:
    app.rebind(url)


@pytest.mark.parametrize("options", [(), ("-t", "2"), ("--coroutines", "2")], ids=["one", "threads", "coroutines"])
def test_a_type_waits_for_a_host_that_takes_it_and_nobody_else_touches_it(
    start: Start, journal: Journal, options: tuple[str, ...]
) -> None:
    early = wait.delay_many([(0,)] * 20)
    before = await_seconds.delay_many([(0,)] * 20)
    first = start("releases", "--exclude-types", "wait", *options)
    late, after = wait.delay_many([(0,)] * 20), await_seconds.delay_many([(0,)] * 20)
    for handle in (*before, *after):
        handle.get(timeout=10)
    assert {handle.status() for handle in (*early, *late)} == {"queued"}
    declined = {line.pid for line in journal.starts()}
    start("releases", "--types", "wait", *options)
    for plain in (*early, *late):
        plain.get(timeout=10)
    for handle in await_seconds.delay_many([(0,)] * 20):
        handle.get(timeout=10)
    ids = {handle.id for handle in (*early, *late)}
    assert not {line.pid for line in journal.starts() if line.id in ids} & {*declined, *first.children}
    assert len(journal.starts()) == 100
    assert {line.delivery for line in journal.starts()} == {1}


def test_a_host_that_takes_all_serves_what_another_declines(start: Start, journal: Journal) -> None:
    start("releases", "--exclude-types", "wait")
    start("releases")
    handles = wait.delay_many([(0.001,)] * 50)
    for handle in handles:
        handle.get(timeout=10)
    eventually(lambda: len(journal.ends()) == 50, "each has run once")


def test_what_needs_something_runs_where_that_is(start: Start, journal: Journal) -> None:
    without = start("releases")
    handles = render.delay_many([()] * 20)
    wait.delay(0).get(timeout=10)
    assert {handle.status() for handle in handles} == {"queued"}
    start("releases", "--tag", "gpu")
    for handle in handles:
        handle.get(timeout=10)
    pids = {line.pid for handle in handles for line in journal.starts(id=handle.id)}
    assert not pids & set(without.children)
    assert len(journal.starts()) == 21


def test_a_host_says_what_it_leaves_to_others_and_which_tags_nobody_needs(start: Start) -> None:
    host = start("releases", "--exclude-types", "wait", "--tag", "gpo,disk", processes=1)
    [first] = [line for line in host.log().splitlines() if "; types: " in line]
    assert "; left to others: render (needs gpu), wait; 1 processes" in first
    assert "--tag gpo: no declared type needs it (did you mean `gpu`?)" in host.log()
    assert "--tag disk: no declared type needs it; there are types that need gpu" in host.log()
    host = start("releases", "--exclude-types", "render", "--tag", "gpu", processes=1)
    assert "; left to others: render; 1 processes" in host.log()
    assert "no declared type needs it" not in host.log()
    host = start("releases", "--tag", "*", processes=1)
    assert "left to others" not in host.log()


def test_a_type_that_nobody_declares_is_refused(start: Start) -> None:
    host = start("releases", "--types", "wiat", ready=False)
    assert host.wait() == 2
    assert "error: type 'wiat' is not declared (did you mean `wait`?)" in host.log()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--types", "render"), "this host would run no type: render needs --tag gpu"),
        (("--types", "wait", "--exclude-types", "wait"), "this host would run no type: --exclude-types names them all"),
    ],
)
def test_a_host_that_would_run_nothing_is_refused(start: Start, options: tuple[str, ...], why: str) -> None:
    host = start("releases", *options, ready=False)
    assert host.wait() == 2
    assert f"error: {why}\n" in host.log()
