"""A successor, and the seat that its predecessor still has."""

from __future__ import annotations

import os

import pytest

from distq import Distq
from distq.worker import board
from distq.worker.board import DRAIN, LENT, RUN, Board
from distq.worker.post import Post
from distq.worker.worker import Solo


def test_a_successor_that_was_told_to_end_runs_nothing_whatever_it_is_told_then(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, ran, here = Distq("app", broker=url), list[int](), Board(1)

    @app.task(type="it")
    def it(number: int) -> None:
        ran.append(number)
        here.order(DRAIN)

    it.delay(1)
    pipes = [os.pipe(), os.pipe()]
    slot = here.slots[0]
    slot.clear()
    slot.words[LENT] = 1
    here.order(DRAIN)
    post = Post(
        board=here, slot=slot, host="host", info="{}", queues=["default"], lease_ms=60_000, poke=pipes[0][0],
        bell=pipes[1][1], types=["it"], digest="digest", names=["it"],
    )  # fmt: skip
    worker = Solo(app, post)

    def goes_on() -> None:
        """CONT, at the moment at which it looks."""
        if not ran:
            here.order(RUN)

    monkeypatch.setattr(worker._line, "hear", goes_on)
    worker.run()
    assert ran == []
    assert slot.words[board.STATE] == board.LEFT
    for end in (end for pipe in pipes for end in pipe):
        os.close(end)
