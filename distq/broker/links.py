"""The connections of a selector loop to all places: one for a single server, in a cluster one for each queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from distq.broker import cluster
from distq.broker.link import MOST_PAUSE_S, Answer, Link
from distq.broker.verbs import Command


class Links:
    """Links of one name; each command goes over that to where its keys are, in the order of its place."""

    def __init__(
        self, url: str, name: str, *, silence_s: float, pause_s: float = MOST_PAUSE_S,
        on_return: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._url, self._name, self._on_return = url, name, on_return
        self._silence_s, self._pause_s = silence_s, pause_s
        self._places: dict[str, Link] = {}

    @property
    def all(self) -> list[Link]:
        """Those that there are so far."""
        return list(self._places.values())

    @property
    def is_idle(self) -> bool:
        """Nothing is waiting for an answer."""
        return all(link.is_idle for link in self._places.values())

    @property
    def failing_since(self) -> float | None:
        """Since when one of them has been failing (monotonic seconds); None: none is."""
        return min((link.failing_since for link in self.all if link.failing_since is not None), default=None)

    def connect_again(self) -> None:
        """Another server may be the right one now."""
        for link in self.all:
            link.connect_again()

    def submit(self, command: Command[Any] | bytes, answer: Answer, refused: Callable[[], None] | None = None) -> None:
        """Runs a command some time; see `Link.submit`."""
        place = cluster.place_of(self._url, command if isinstance(command, bytes) else command.data)
        link = self._places.get(place)
        if link is None:
            link = self._places[place] = Link(place, self._name, silence_s=self._silence_s, pause_s=self._pause_s)
            link.on_return = self._on_return
        link.submit(command, answer, refused)

    def close(self) -> None:
        """Drops the connections and everything that was not answered."""
        for link in self._places.values():
            link.close()
