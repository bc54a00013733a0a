"""A cluster of real servers on 127.0.0.1: primaries that share the slots, and replicas of them if wanted."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import redis

from distq.broker.cluster import SLOTS, slot_of
from distq.embedded import find_server
from tests.support.eventually import eventually
from tests.support.ports import free_ports

NODE_TIMEOUT_MS = 1000
STRIPE = 500
"""Slots that follow each other on one node: few, so that also queues of like names are on several."""


class Node:
    """One server of the cluster."""

    def __init__(self, port: int, folder: Path, bus: int, more: Mapping[str, str]) -> None:
        self.port, self.folder = port, folder
        folder.mkdir(parents=True)
        settings = {
            "port": port, "bind": "127.0.0.1", "dir": folder, "save": "", "appendonly": "no", "cluster-enabled": "yes",
            "cluster-port": bus, "cluster-node-timeout": NODE_TIMEOUT_MS, "repl-diskless-sync-delay": 0,
            "cluster-config-file": folder / "nodes.conf", **more,
        }  # fmt: skip
        command = [find_server(), *(word for name, value in settings.items() for word in (f"--{name}", str(value)))]
        with (folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.client: Any = redis.Redis(port=port, protocol=2)
        self.client.response_callbacks.clear()  # what the server says, as it says it

    @property
    def id(self) -> str:
        """What the others call it."""
        return str(self.say("CLUSTER", "MYID").decode())

    def say(self, *command: bytes | str | int) -> Any:
        """A command to this node, and nowhere else."""
        return self.client.execute_command(*command)

    def is_up(self) -> bool:
        """Whether it answers."""
        with suppress(redis.RedisError):
            return bool(self.say("PING") == b"PONG")
        return False

    def text(self, *command: str) -> str:
        """Its answer to a question; empty while it gives none."""
        with suppress(redis.RedisError):
            return str(self.say(*command).decode())
        return ""

    def kill(self) -> None:
        """kill -9."""
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


class Cluster:
    """Starts `primaries` nodes with the slots in stripes, and `replicas` of each."""

    def __init__(
        self, folder: Path, *, primaries: int = 3, replicas: int = 0, settings: Mapping[str, str] | None = None
    ) -> None:
        self._settings = settings or {}
        self._folder, self._primaries, self._replicas = folder, primaries, replicas
        self.nodes: list[Node] = []

    def __enter__(self) -> Cluster:
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in self.nodes:
            node.kill()
            node.client.close()

    @property
    def url(self) -> str:
        """For distq: the seeds are the primaries."""
        return f"cluster://{','.join(f'127.0.0.1:{node.port}' for node in self.nodes[: self._primaries])}"

    def holder(self, prefix: str) -> Node:
        """The primary of a queue, as most nodes see it now."""
        slot = slot_of(prefix.encode())
        votes: dict[int, int] = {}
        for node in self.nodes:
            if node.process.poll() is not None:
                continue
            with suppress(redis.RedisError):
                for first, last, who, *_ in node.say("CLUSTER", "SLOTS"):
                    if first <= slot <= last:
                        votes[int(who[1])] = votes.get(int(who[1]), 0) + 1
        port = max(votes, key=lambda port: votes[port])
        return next(node for node in self.nodes if node.port == port)

    def empty(self) -> None:
        """Deletes everything."""
        for node in self.nodes[: self._primaries]:
            node.say("FLUSHALL")

    def keys(self) -> set[bytes]:
        """All keys of all primaries."""
        return {key for node in self.nodes[: self._primaries] for key in node.say("KEYS", "*")}

    def move(self, prefix: str, pause_s: float = 0.0) -> tuple[Node, Node]:
        """Moves the slot of a queue to another node key by key, as redis-cli does; answers (from, to)."""
        slot, source = slot_of(prefix.encode()), self.holder(prefix)
        target = next(node for node in self.nodes[: self._primaries] if node is not source)
        target.say("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.say("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)
        while names := source.say("CLUSTER", "GETKEYSINSLOT", slot, 10):
            source.say("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *names)
            time.sleep(pause_s)  # so that work meets a slot that is half here and half there
        for node in (target, source, *self.nodes[: self._primaries]):
            node.say("CLUSTER", "SETSLOT", slot, "NODE", target.id)
        return source, target

    def _start(self) -> None:
        number = self._primaries * (1 + self._replicas)
        ports = free_ports(2 * number)
        for index in range(number):
            self.nodes.append(Node(ports[index], self._folder / f"node-{index}", ports[number + index], self._settings))
        for node in self.nodes:
            eventually(node.is_up, f"the node on port {node.port} answers")
        primaries, replicas = self.nodes[: self._primaries], self.nodes[self._primaries :]
        for index, node in enumerate(primaries):
            stripes = [(first, min(first + STRIPE, SLOTS) - 1) for first in range(0, SLOTS, STRIPE)]
            node.say("CLUSTER", "ADDSLOTSRANGE", *(end for pair in stripes[index :: self._primaries] for end in pair))
            node.say("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
        for node in self.nodes[1:]:
            node.say("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port, ports[number])
        eventually(lambda: all(self._sees_all(node) for node in self.nodes), "the nodes know each other", 30.0)
        for index, node in enumerate(replicas):
            node.say("CLUSTER", "REPLICATE", primaries[index % self._primaries].id)
        eventually(
            lambda: all("cluster_state:ok" in node.text("CLUSTER", "INFO") for node in self.nodes),
            "the cluster is whole",
            30.0,
        )
        followed = "master_link_status:up"
        eventually(
            lambda: all(followed in node.text("INFO", "replication") for node in replicas), "replicas follow", 30.0
        )

    def _sees_all(self, node: Node) -> bool:
        found = node.text("CLUSTER", "NODES").splitlines()
        return len(found) == len(self.nodes) and not any("handshake" in line for line in found)
