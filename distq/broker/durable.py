"""Calls that survive a failure of the broker: they return when its replicas have them, or the disk.

Behind the call, in the same write, go a small write of its own, the command that waits, and ROLE: whether all have
confirmed that may be promoted. The write is needed: a call that is sent again changes nothing, and the server would not
wait for what another connection has written before it.
"""

from __future__ import annotations

import time
from functools import partial

from distq.broker import keys, reach, sentinel
from distq.broker.address import mask
from distq.broker.connect import LATE_S, Exchange, ServerError, Wire
from distq.broker.scripts import Reply, Script, encode
from distq.broker.witness import ROLE, Disk, Replicas, Witness
from distq.errors import BrokerError, NotDurable

CONFIRM_S = 2.0
"""A server is given so long to confirm; then the connection is made anew, maybe to another, and all is sent again."""
KEEP_MS = 60_000

PROBE = encode("WAITAOF", 1, 0, 1)
"""Asks whether it could wait for the disk."""


class Durable:
    """Sends calls of one application so, over the connections that its threads share."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange, self._rule = exchange, Rule(exchange.url, exchange.timeout)

    def run_script(self, prefix: str, verb: Script, data: bytes) -> Reply:
        """The reply, when it is certain. Raises NotDurable when nobody confirms it in time, and BrokerError when nobody
        ever could: then nothing was sent."""
        return self._exchange.at(prefix).call(partial(self._ask, data + touch(prefix), verb))

    def _ask(self, data: bytes, verb: Script, wire: Wire) -> Reply:
        if wire.witness is None:
            wire.witness = self._choose(wire)
            wire.request(verb.load_command())  # else the time to confirm would go by behind a NOSCRIPT
        witness = wire.witness
        answers = _answers(wire, data + witness.command, self._rule.limit_s)
        if isinstance(answers[0], ServerError) and answers[0].code == "NOSCRIPT":
            wire.request(verb.load_command())
            answers = _answers(wire, data + witness.command, self._rule.limit_s)
        try:
            return self._rule.judge(witness, answers)
        except NotDurable:
            wire.close()
            raise

    def _choose(self, wire: Wire) -> Witness:
        role = wire.request(ROLE)
        if self._rule.needs_replica(role):
            left_s = max(0.001, min(wire.timeout, wire.until - time.monotonic()))
            return self._rule.replicas(wire.peer, role, reach.survey(self._exchange.url, wire.peer, left_s))
        try:
            wire.request(PROBE)
        except ServerError as error:
            self._rule.cannot(error)
            raise
        return self._rule.disk


class Rule:
    """What has to confirm: the replicas wherever there ever was one, else the server's own disk."""

    def __init__(self, url: str, timeout: float) -> None:
        self._url = url
        confirm_s = min(timeout / 2, CONFIRM_S)  # so that "not confirmed" can still be heard in time
        self._wait_ms = round(confirm_s * 1000)
        self.disk = Disk(self._wait_ms)
        self.limit_s = confirm_s + LATE_S
        """For the reply to the command that waits: a server that has stopped gives none."""
        self._has_sentinel = self._has_replicas = sentinel.is_sentinel(url)
        self._groups: dict[str, Replicas] = {}
        """What is known of each server that was the primary."""

    def needs_replica(self, role: Reply) -> bool:
        """Whether to wait for replicas, by what the server says of itself."""
        if role[0] != b"master":
            raise ServerError("READONLY the server is a replica")
        self._has_replicas = self._has_replicas or bool(role[2])
        return self._has_replicas

    def replicas(self, peer: str, role: Reply, believed: int | None) -> Replicas:
        """Those of the server at the other end of a new connection; so many a sentinel believes in."""
        group = self._groups.setdefault(peer, Replicas(self._wait_ms))
        group.meet(role, believed, self._has_sentinel)
        return group

    def judge(self, witness: Witness, answers: list[Reply | ServerError]) -> Reply:
        """The reply to the call, of those to it, to `touch` and to the witness's command. Raises one that is an error,
        and NotDurable."""
        for answer in answers:
            if isinstance(answer, ServerError):
                raise answer
        reply, _, confirmed, role = answers
        self.needs_replica(role)
        if not witness.confirms(confirmed, role):
            raise NotDurable(
                f"{witness.lack(confirmed)} confirmed the call to the broker at {mask(self._url)} in time: "
                "the task may be queued all the same; again() of this error sends the same call once more, and makes no"
                " second task"
            )
        return reply

    def cannot(self, error: ServerError) -> None:
        """Raises BrokerError if this server could not confirm anything, ever."""
        if error.code != "ERR":
            return
        has_command = "appendonly" in str(error)
        why = "it keeps no append-only file" if has_command else "Redis before 7.2 cannot wait for its disk"
        raise BrokerError(
            f"durable=True: nothing was enqueued, because the broker at {mask(self._url)} has no replica, and {why}: "
            "set appendonly yes, add a replica, or leave durable away"
        ) from error


def touch(prefix: str) -> bytes:
    """A write that is one each time, to be waited for."""
    return encode("SET", keys.key(prefix, "CONFIRMED"), "1", "PX", KEEP_MS)


def _answers(wire: Wire, data: bytes, limit_s: float) -> list[Reply | ServerError]:
    """All four, also behind an error: else the connection would be out of step."""
    wire.send(data)
    found: list[Reply | ServerError] = []
    for limit in (None, None, limit_s, None):
        try:
            found.append(wire.read(limit))
        except ServerError as error:
            found.append(error)
    return found
