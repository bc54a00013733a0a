"""A worker process for suspects: each runs while nothing else does in this process, so that the next death is surely
its own. It ends when there is none left.

There is one while suspects wait, on hosts whose other processes have several threads: those are never empty.
"""

from __future__ import annotations

from distq.app import Distq
from distq.broker import keys
from distq.broker.verbs import Step, Takes
from distq.broker.verdicts import Verdicts
from distq.worker.line import Announced
from distq.worker.post import Post
from distq.worker.worker import Solo


class Alone(Solo):
    """Takes suspects, one at a time, from each queue by turns."""

    def __init__(self, app: Distq, post: Post, takes: Takes = "suspects") -> None:
        super().__init__(app, post, takes)

    def _fetch(self, want: int, back: Verdicts) -> Step:
        """Settles, and asks each queue once."""
        step, first = self._step(self._queue, min(want, 1), back), self._queue
        while want and step.word == "ok" and not step.entries:
            self._queue = (self._queue + 1) % len(self._post.queues)
            if self._queue == first:
                self._is_done = True
                break
            step = self._step(self._queue, 1)
        self._ring(b"a")
        return step


class Isolated(Alone):
    """The same for suspects that may kill whole hosts. Its supervisor has no other process meanwhile."""

    def __init__(self, app: Distq, post: Post) -> None:
        super().__init__(app, post, "isolated")

    def _announcement(self) -> Announced:
        return Announced([keys.ISOLATION], keys.ISOLATED, [{} for _ in self._post.queues])
