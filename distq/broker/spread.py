"""The exchange of a cluster: connections to each place, and each call to its own. It knows no verbs."""

from __future__ import annotations

from collections.abc import Callable

from distq.broker import cluster, keys
from distq.broker.connect import Exchange, Wire
from distq.broker.scripts import Reply, Script


def exchange(url: str, timeout: float) -> Exchange:
    """Connections for calls to this broker: with a single server, one place for everything."""
    return Spread(url, timeout) if cluster.is_cluster(url) else Exchange(url, timeout)


class Spread(Exchange):
    """An exchange of exchanges: a queue's keys share a slot, and each slot has connections of its own.

    Slots, not nodes: what a slot's connections are good for does not change when it moves.
    """

    def __init__(self, url: str, timeout: float) -> None:
        super().__init__(url, timeout)
        self._places: dict[str, Exchange] = {}

    def run_script(self, verb: Script | None, data: bytes, until: float | None = None) -> Reply:
        """A call in wire form, where its keys are."""
        return self._exchange(cluster.place_of(self.url, data)).run_script(verb, data, until)

    def start(self, verb: Script, data: bytes) -> Callable[[], Reply]:
        """Sends a call, and gives what waits for its reply."""
        return self._exchange(cluster.place_of(self.url, data)).start(verb, data)

    def read_all(self, commands: list[bytes]) -> list[Reply]:
        """Several reading commands, in one round trip per place."""
        places: dict[str, list[int]] = {}
        for number, command in enumerate(commands):
            places.setdefault(cluster.place_of(self.url, command), []).append(number)
        replies: list[Reply] = [None] * len(commands)
        for place, numbers in places.items():
            for number, reply in zip(
                numbers, self._exchange(place).read_all([commands[number] for number in numbers]), strict=True
            ):
                replies[number] = reply
        return replies

    def at(self, key: str) -> Exchange:
        """The exchange for this key, or for all keys with this prefix."""
        return self._exchange(cluster.place(self.url, key))

    def take(self, until: float | None = None) -> Wire:
        """A connection to where the names of the queues are."""
        return self.at(keys.KNOWN_QUEUES).take(until)

    def give(self, wire: Wire) -> None:
        """Returns what `take` gave."""
        self.at(keys.KNOWN_QUEUES).give(wire)

    def _exchange(self, place: str) -> Exchange:
        found = self._places.get(place)
        return self._places.setdefault(place, Exchange(place, self.timeout)) if found is None else found
