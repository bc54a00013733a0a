"""A primary, two replicas and three sentinels, as real processes of one's own on 127.0.0.1, with short time limits."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import redis

from distq.embedded import find_server
from tests.support.eventually import eventually
from tests.support.ports import free_ports

NAME = "main"
DOWN_AFTER_MS = 1500
"""Much less, and on a busy machine the sentinels find that a server is down that merely waited for a processor."""


class Server:
    """One process of the group."""

    def __init__(
        self, port: int, folder: Path, lines: Sequence[str], *options: str, password: str | None = None
    ) -> None:
        self.port = port
        self._folder = folder
        self.options = list(options)
        """Of the command line; a test may add some before it starts the server again."""
        folder.mkdir(parents=True)
        (folder / "conf").write_text("\n".join([f"port {port}", "bind 127.0.0.1", f"dir {folder}", *lines, ""]))
        self.client: Any = redis.Redis(port=port, protocol=2, password=password)
        self.start()

    def start(self) -> None:
        """Starts it (again), with what it has written into its settings meanwhile, and waits until it answers."""
        self.start_only()
        eventually(self.is_up, f"the server on port {self.port} answers")

    def start_only(self) -> None:
        """The same without waiting."""
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [find_server(), str(self._folder / "conf"), *self.options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def is_up(self) -> bool:
        with suppress(redis.RedisError):
            return bool(self.client.ping())
        return False

    def send(self, number: signal.Signals) -> None:
        """A signal to it."""
        os.kill(self.process.pid, number)

    def stop(self) -> None:
        """kill -9."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


class Group:
    """They find each other by `name`; `url` is for distq. Each test may do to them what it likes."""

    def __init__(self, folder: Path, *, password: str | None = None, sentinel_password: str | None = None) -> None:
        self._folder, self._passwords = folder, (password, sentinel_password)
        self.servers: list[Server] = []
        self.sentinels: list[Server] = []

    def __enter__(self) -> Group:
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in (*self.sentinels, *self.servers):
            with suppress(ProcessLookupError):
                server.send(signal.SIGCONT)
            server.stop()
            server.client.close()

    @property
    def url(self) -> str:
        """For distq."""
        return f"sentinel://{','.join(f'127.0.0.1:{sentinel.port}' for sentinel in self.sentinels)}/{NAME}"

    @property
    def primary(self) -> Server:
        """The one that the sentinels name."""
        [port] = {int(sentinel.client.sentinel_get_master_addr_by_name(NAME)[1]) for sentinel in self.running_sentinels}
        return next(server for server in self.servers if server.port == port)

    @property
    def running_sentinels(self) -> list[Server]:
        return [sentinel for sentinel in self.sentinels if sentinel.process.poll() is None]

    def replicas(self) -> list[Server]:
        """The others."""
        primary = self.primary
        return [server for server in self.servers if server is not primary]

    def fail_over(self) -> None:
        """As a person does it, with everything in order: no other one is under way, and a replica is good for it."""

        def is_accepted() -> bool:
            try:
                return bool(self.sentinels[0].client.execute_command("SENTINEL", "FAILOVER", NAME))
            except redis.ResponseError as error:
                if str(error).split()[0] in ("INPROG", "NOGOODSLAVE"):
                    return False
                raise

        eventually(is_accepted, "the sentinel begins a failover", 30.0)

    def await_writable(self, other_than: Server, within: float = 30.0) -> tuple[Server, float]:
        """The new primary, and when it was first seen to take writes (monotonic seconds).

        Up to a second before, ROLE calls it one: then it has no replica yet, and min-replicas-to-write says no.
        """
        others = [server for server in self.servers if server is not other_than]

        def taken() -> tuple[Server, float] | None:
            for server in others:
                with suppress(redis.RedisError):
                    server.client.set("writable", "1", px=1000)
                    return server, time.monotonic()
            return None

        return eventually(taken, "a replica is promoted, and takes writes", within)  # type: ignore[return-value]

    def await_settled(self) -> None:
        """Until all sentinels name the same primary, and both replicas have its data.

        ROLE names a replica up to a second before that has loaded what it was sent, so they are asked: by WAIT.
        """

        def settled() -> bool:
            with suppress(redis.RedisError, ValueError):
                primary = self.primary
                role = primary.client.role()
                masters = [sentinel.client.sentinel_master(NAME) for sentinel in self.running_sentinels]
                return (
                    role[0] == b"master"
                    and len(role[2]) == 2
                    and self._have_all(primary)
                    and all(
                        master["num-slaves"] >= 2 and master["num-other-sentinels"] == 2 and not master["is_sdown"]
                        for master in masters
                    )
                )
            return False

        eventually(settled, "the group has settled", within=60.0, every=0.05)

    def _have_all(self, primary: Server) -> bool:
        """Whether both replicas have what is written now. One connection: WAIT looks at the writes of its own only."""
        with primary.client.pipeline(transaction=False) as pipe:
            pipe.set("settled", "1")
            pipe.execute_command("WAIT", 2, 100)
            return bool(pipe.execute()[1] == 2)

    def _agree(self) -> bool:
        """Whether `primary` has an answer: after a failover one hears of it later than the other."""
        with suppress(ValueError):
            return self.primary is not None
        return False

    def hasten(self) -> None:
        """Makes a replica of an old primary at once; sentinels do it after ten seconds."""
        eventually(self._agree, "the sentinels name the same primary", 30.0)
        primary = self.primary
        for server in self.replicas():
            with suppress(redis.RedisError):
                if server.client.role()[0] == b"master":
                    server.client.replicaof("127.0.0.1", primary.port)

    def _start(self) -> None:
        *ports, a, b, c = free_ports(6)
        inside, guard = self._passwords
        common = ["save ''", "repl-diskless-sync-delay 0", "repl-ping-replica-period 1"]
        common += [
            "min-replicas-to-write 1",
            "min-replicas-max-lag 2",
        ]  # an old primary soon refuses what would be lost
        common += [f"requirepass {inside}", f"masterauth {inside}"] if inside else []
        for number, port in enumerate(ports):
            lines = [*common, f"replicaof 127.0.0.1 {ports[0]}"] if number else common
            self.servers.append(Server(port, self._folder / f"server-{number}", lines, password=inside))
        for number, port in enumerate((a, b, c)):
            lines = [
                f"sentinel monitor {NAME} 127.0.0.1 {ports[0]} 2",
                f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER_MS}",
                f"sentinel failover-timeout {NAME} 3000",
                f"sentinel parallel-syncs {NAME} 2",
            ]
            lines += [f"sentinel auth-pass {NAME} {inside}"] if inside else []
            lines += [f"requirepass {guard}", f"sentinel sentinel-pass {guard}"] if guard else []
            folder = self._folder / f"sentinel-{number}"
            self.sentinels.append(Server(port, folder, lines, "--sentinel", password=guard))
        self.await_settled()
