"""The template process: imports the application once and forks children that share its memory.

It speaks JSON lines with the supervisor over a socket pair:
    to the supervisor    {"ready": {...}} | {"failed": text} | {"forked": slot, "pid": n}
                         | {"not_forked": slot, "why": text} | {"exited": pid, "status": n, "rss": kB}
    from the supervisor  {"fork": slot, "queues": […]}; the socket's end means: end
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import logging
import os
import selectors
import signal
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from distq import message
from distq.app import Distq
from distq.broker.address import mask
from distq.broker.scripts import script
from distq.config import WorkerConfig
from distq.errors import ConfigurationError, DistqError, did_you_mean
from distq.loader import load
from distq.logs import note_lines, write_lines
from distq.message import names_of
from distq.middleware import check
from distq.supervisor.crews import (
    LOOPS,
    THREADS,
    crews,
    declined,
    left_to_others,
    types_of,
    useless_tags,
    ways_in,
)  # fmt: skip
from distq.supervisor.processes import die_with_parent, has_children, leave_signals_to_supervisor, prepare_to_fork
from distq.worker.alarms import survive_alarms
from distq.worker.alone import Alone, Isolated
from distq.worker.board import Board
from distq.worker.forks import FORKS, end_of_a_forked_child, leave, watch_forks
from distq.worker.line import Way
from distq.worker.notes import keep_what_is_logged, stay_audible
from distq.worker.pool import Pool
from distq.worker.post import Post
from distq.worker.stacks import show_on_demand
from distq.worker.worker import Solo, Worker

logger = logging.getLogger("distq.supervisor")

MOST_QUEUES = 250
"""The status board has a byte for the number of a queue."""
SAID_BY_CHILDREN = ("recover", "register", "step")
"""The verbs that `distq.worker` uses."""


@dataclass(frozen=True)
class Shared:
    """What the supervisor made before the fork."""

    board: Board
    pokes: list[tuple[int, int]]
    """Per slot (read, write) ends of the pipe by which the supervisor calls a child."""
    dumps: list[int]
    """Per slot a file in memory, into which a crash in C code writes Python's traceback."""
    bell: tuple[int, int]
    """Ends of the pipe by which children call the supervisor."""
    host: str
    info: str
    config: WorkerConfig


def dump_files(number: int) -> list[int]:
    """So many empty files without a name."""
    if hasattr(os, "memfd_create"):
        return [os.memfd_create("distq") for _ in range(number)]
    import tempfile  # noqa: PLC0415 (it brings the compressors)

    with contextlib.ExitStack() as files:
        return [os.dup(files.enter_context(tempfile.TemporaryFile()).fileno()) for _ in range(number)]


def run_template(channel: socket.socket, shared: Shared, parent: int, names: Sequence[str]) -> NoReturn:
    """The life of the template process. `names`: of types that have counters already. Never returns."""
    code = 1
    try:
        die_with_parent(parent)
        leave_signals_to_supervisor()
        os.register_at_fork(after_in_child=channel.close)  # else its end is not heard while another has this open
        _Template(channel, shared, names).run()
        code = 0
    except DistqError as error:
        _tell(channel, {"failed": str(error)})
    except BaseException as error:
        logger.exception("the template process failed")
        _tell(channel, {"failed": f"{type(error).__name__}: {error}"})
    finally:
        leave(code)


def announcement(facts: dict[str, Any]) -> str:
    """What a host serves, for the first line of its log."""
    place, queues, types = mask(facts["url"]), _listed(facts["queues"]), _first(facts["types"])
    left = f"; left to others: {_first(facts['left'])}" if facts["left"] else ""
    return f"application {facts['name']} at {place}; queues: {queues}; types: {types}{left}"


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if names[20:] else "")


def _listed(queues: list[str]) -> str:
    """Each with the number of its partitions."""
    counts = Counter(map(message.family, queues))
    return ", ".join(name if number == 1 else f"{name} ({number} partitions)" for name, number in counts.items())


class _Template:
    def __init__(self, channel: socket.socket, shared: Shared, names: Sequence[str]) -> None:
        self._channel, self._shared, self._names = channel, shared, names
        self._buffer = b""

    def run(self) -> None:
        config = self._shared.config
        if config.reload:
            sys.dont_write_bytecode = True  # such a file is taken for fresh when a source is saved twice in a second
            importlib.invalidate_caches()
        with contextlib.suppress(OSError):  # what it cannot find there it says
            os.chdir(config.import_path)  # a link may lead elsewhere by now
        self._app = load(config.app, config.import_path)
        stay_audible()
        if config.broker:
            self._app.rebind(config.broker)
        for link in self._app.middleware:
            check(link)
        self._queues = _queues(self._app, config)
        self._app.declined = declined(self._app, config)
        self._types = types_of(self._app)
        self._names = list(dict.fromkeys((*self._names, *names_of(self._types))))
        self._crews = crews(self._app, self._queues, config.threads, config.coroutines)
        for slip in useless_tags(self._app, config):
            logger.warning("%s", slip)
        if threading.active_count() > 1:
            logger.warning("%s has started threads while it was imported; they do not exist in workers", config.app)
        if has_children():
            logger.warning("%s has started a process while it was imported: this host does not end it", config.app)
        leave_signals_to_supervisor()  # it may have changed them
        for verb in SAID_BY_CHILDREN:
            script(verb)  # composed here, once; a child that did it would wait for it, and need memory of its own
        if config.coroutines:
            from distq.worker.loop import loop_factory  # noqa: PLC0415 (2 MiB that other hosts do not need)

            loop_factory()
        prepare_to_fork()
        _tell(self._channel, {"ready": self._facts()})
        self._serve()

    def _facts(self) -> dict[str, Any]:
        return {
            "name": self._app.name,
            "url": self._app.url,
            "queues": self._queues,
            "types": self._types,
            "names": self._names,
            "crews": self._crews,
            # Made when first asked for: who declares none needs none of what it imports.
            "schedules": self._app.schedules.declared(self._queues) if "schedules" in vars(self._app) else {},
            "left": left_to_others(self._app, self._shared.config),
        }

    def _serve(self) -> None:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(writer)
        with selectors.DefaultSelector() as selector:
            selector.register(self._channel, selectors.EVENT_READ)
            selector.register(reader, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._channel:
                        self._obey((selector.close, lambda: os.close(reader), lambda: os.close(writer)))
                    else:
                        os.read(reader, 4096)
                self._report_deaths()

    def _obey(self, cleanup: tuple[Callable[[], None], ...]) -> None:
        data = self._channel.recv(65536)
        if not data:
            os._exit(0)
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            order = json.loads(line)
            self._fork(order["fork"], order["queues"], cleanup)

    def _fork(self, slot: int, queues: list[str], cleanup: tuple[Callable[[], None], ...]) -> None:
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:  # the machine has no room: those that are there go on
            _tell(self._channel, {"not_forked": slot, "why": str(error)})
            return
        if pid == 0:
            for close in cleanup:
                close()
            self._child(slot, queues, parent)
        _tell(self._channel, {"forked": slot, "pid": pid})

    def _child(self, slot: int, queues: list[str], parent: int) -> NoReturn:
        code = 1
        try:
            die_with_parent(parent)
            leave_signals_to_supervisor()
            watch_forks()
            shared = self._shared
            is_regular = shared.config.position(slot) < shared.config.children
            crew = self._crews[LOOPS if shared.config.is_loop(slot) else THREADS]
            other = Way("nothing") if shared.config.is_loop(slot) else Way()
            for index, (reader, writer) in enumerate(shared.pokes):
                os.close(writer)
                if index != slot:
                    os.close(reader)
                    os.close(shared.dumps[index])
            os.close(shared.bell[0])
            post = Post(
                board=shared.board,
                slot=shared.board.slots[slot],
                host=shared.host,
                info=shared.info,
                queues=queues,
                lease_ms=shared.config.lease_ms,
                poke=shared.pokes[slot][0],
                bell=shared.bell[1],
                types=crew.types,
                digest=crew.digest,
                names=self._names,
                threads=shared.config.threads,
                coroutines=shared.config.coroutines,
                max_tasks=shared.config.max_tasks if is_regular else 0,
                ways=ways_in(queues, self._queues, crew.ways, other) if is_regular else [],
                shares=crew.shares if is_regular else [],
                write_lines=write_lines,
            )
            if not faulthandler.is_enabled():  # else the application wants it elsewhere
                faulthandler.enable(shared.dumps[slot], all_threads=False)
            note_lines(post.slot)
            keep_what_is_logged(post.slot)
            worker = self._worker(slot, post)
            show_on_demand(post.slot, worker, shared.dumps[slot])
            survive_alarms()
            code = self._live(worker)
        except BaseException:
            logger.exception("worker failed")
        finally:
            leave(code)

    def _live(self, worker: Worker) -> int:
        """The worker's life, and what the application does before and after it; the exit code."""
        lifecycle = self._app.lifecycle
        try:
            try:
                lifecycle.start()
            finally:
                if FORKS.is_child:
                    end_of_a_forked_child()
                stay_audible()
        except BaseException:
            logger.exception("on_worker_start failed: this process is not used, and another one is tried later")
            return 1
        try:
            worker.run()
        finally:
            lifecycle.stop()
        return 0

    def _worker(self, slot: int, post: Post) -> Worker:
        config = self._shared.config
        if slot == config.slots - 1:
            return Isolated(self._app, post)
        if config.is_alone(slot):
            return Alone(self._app, post)
        if config.is_loop(slot):
            from distq.worker.loop import Loop  # noqa: PLC0415 (see `run`)

            return Loop(self._app, post)
        if config.threads > 1:
            return Pool(self._app, post)
        return Solo(self._app, post, "only" if config.children == 1 else "all")

    def _report_deaths(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            _tell(self._channel, {"exited": pid, "status": status, "rss": usage.ru_maxrss})


def _tell(channel: socket.socket, message: dict[str, Any]) -> None:
    channel.sendall(json.dumps(message).encode() + b"\n")


def _queues(app: Distq, config: WorkerConfig) -> list[str]:
    """The queues to serve, with all their partitions: the named ones, which must be declared, or all. One partition may
    be named alone."""
    names: list[str] = []
    for name in config.queues or app.queues:
        if message.family(name) not in app.queues:
            raise ConfigurationError(
                f"queue {name!r} is not declared by {config.app}{did_you_mean(name, app.queues)}; "
                f"there are: {', '.join(app.queues)}"
            )
        names += message.partitions(name, app.partitions.get(name, 1))
    if len(set(names)) > MOST_QUEUES:
        raise ConfigurationError(
            f"{len(set(names))} queues and partitions are more than one host can serve ({MOST_QUEUES}): divide them "
            "among hosts with --queues"
        )
    return list(dict.fromkeys(names))
