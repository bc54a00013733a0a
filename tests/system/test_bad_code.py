"""Bad code in handlers: each ends in a definite state, and the worker goes on."""

from __future__ import annotations

import re

import pytest

from distq import TaskFailed
from tests.support.apps.badcode import BAD, WORSE, abad, aok, app, bad, ok, told
from tests.system.conftest import Start


@pytest.mark.parametrize("options", [(), ("-t", "2"), ("--coroutines", "2")], ids=["process", "threads", "coroutines"])
def test_each_ends_in_a_definite_state_and_the_worker_goes_on(start: Start, url: str, options: tuple[str, ...]) -> None:
    """All in one host, one after the other: what one has done to its process, the next ones have to live with."""
    app.rebind(url)
    host = start("badcode", "--max-deliveries", "1", *options, processes=1)
    host.tracebacks_allowed = True  # of a process that cannot work without its files
    is_loop = "--coroutines" in options
    all_of_them = BAD | {name: (None, "") for name in WORSE if is_loop}
    for number, (name, (_, error)) in enumerate(all_of_them.items()):
        handle = (abad if is_loop else bad).delay(name)
        if error:
            with pytest.raises(TaskFailed, match=re.compile(error, re.S)) as caught:
                handle.get(timeout=30)
            assert len(str(caught.value)) < 5_000, name
        else:
            assert handle.get(timeout=30) == "done", name
        assert handle.status() == ("dead" if error else "completed"), name
        assert (aok if is_loop else ok).delay(number).get(timeout=30) == number, f"after {name}"
    assert host.terminate() == 0


def test_a_coroutine_that_stops_its_loop_goes_on_and_the_next_handler_is_still_told(start: Start, url: str) -> None:
    app.rebind(url)
    start("badcode", processes=1)
    assert abad.delay("stops the loop").get(timeout=30) == "done"
    assert told.delay().get(timeout=30) == "told"
