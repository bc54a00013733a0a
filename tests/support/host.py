"""A real `distq run` as a subprocess: its output, its processes, its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.support import journal
from tests.support.eventually import eventually

ROOT = Path(__file__).parents[2]
READY = "Worker started. Waiting for tasks..."
LINUX = Path("/proc/self/stat").exists()


class Host:
    """One worker host. `close` ends all its processes, whatever state they are in."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        journal_place: Path,
        folder: Path = ROOT,
        more: Mapping[str, str] | None = None,
        errors: int = subprocess.STDOUT,
    ) -> None:
        self._log_place = log
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("DISTQ_", "REDIS_"))}
        environment |= {journal.PLACE: str(journal_place), "PYTHONUNBUFFERED": "1"} | dict(more or {})
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "distq", *command],
                cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=errors,
                start_new_session=True,
            )  # fmt: skip
        self.tracebacks_allowed = False
        """A host never shows a traceback; a test where it may says so here."""

    # -- what it says ------------------------------------------------------------------------------------------------

    def log(self) -> str:
        """Everything that it has written."""
        return self._log_place.read_text(errors="replace")

    @property
    def is_ready(self) -> bool:
        """Whether it has said that it has started."""
        return READY in self.log()

    def await_ready(self) -> Host:
        """Waits until it says that it has started."""
        self.await_log(READY)
        return self

    def await_log(self, text: str, times: int = 1, within: float = 20.0) -> None:
        """Waits until it has written this so many times."""

        def written() -> bool:
            if self.log().count(text) >= times:
                return True
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log()}"
            return False

        eventually(written, f"the host says {text!r} {times} times", within)

    # -- its processes -----------------------------------------------------------------------------------------------

    @property
    def supervisor(self) -> int:
        return self.process.pid

    @property
    def template(self) -> int:
        """The process that forks the others: the supervisor's first child."""
        return min(children_of(self.supervisor))

    @property
    def children(self) -> list[int]:
        """The worker processes."""
        return sorted(children_of(self.template))

    @property
    def tree(self) -> list[int]:
        """All its processes, the supervisor first."""
        found = [self.supervisor]
        for pid in found:
            found.extend(children_of(pid))
        return found

    # -- its end -----------------------------------------------------------------------------------------------------

    def send(self, number: signal.Signals) -> None:
        """A signal to the supervisor alone."""
        os.kill(self.supervisor, number)

    def send_all(self, number: signal.Signals) -> None:
        """A signal to every process of the host."""
        os.killpg(self.supervisor, number)

    def terminate(self, within: float = 20.0) -> int:
        """TERM; its exit code."""
        self.send(signal.SIGTERM)
        return self.wait(within)

    def kill(self) -> None:
        """kill -9 of the supervisor; waits until all its processes are gone."""
        family = self.tree
        self.send(signal.SIGKILL)
        self.process.wait(10)
        try:
            eventually(lambda: not any(is_alive(pid) for pid in family), "all processes die with their supervisor")
        except AssertionError as error:
            table = _processes()
            error.add_note(f"their parents and states: {[(pid, table.get(pid)) for pid in family]}")
            raise

    def wait(self, within: float = 20.0) -> int:
        """Waits until it ends by itself; its exit code."""
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the host has not ended within {within:g} s:\n{self.log()}") from None

    def close(self) -> None:
        """Ends it: as a person would if it still runs, by force if that takes long."""
        if self.process.poll() is None:
            self.send_all(signal.SIGCONT)
            self.send(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(3)
        with suppress(ProcessLookupError):
            self.send_all(signal.SIGKILL)
        self.process.wait(10)
        if not self.tracebacks_allowed:
            assert "Traceback" not in self.log(), self.log()


def children_of(pid: int) -> list[int]:
    """Living children of a process."""
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    with suppress(OSError):
        if told := [place.read_text() for place in threads]:
            return [child for text in told for child in map(int, text.split()) if is_alive(child)]
    return [child for child, (parent, state) in _processes().items() if parent == pid and state not in "ZX"]


def is_alive(pid: int) -> bool:
    """Whether this process runs, or is stopped; a zombie is dead."""
    return state_of(pid) not in "ZX"


def state_of(pid: int) -> str:
    """First letter of its state: R runs, S waits, T is stopped, Z is a zombie, X is gone."""
    return (_told(pid) if LINUX else _processes().get(pid, (0, "X")))[1]


def _processes() -> dict[int, tuple[int, str]]:
    """pid -> (parent, first letter of the state)."""
    if LINUX:
        return {int(place.name): _told(int(place.name)) for place in Path("/proc").glob("[0-9]*")}
    found: dict[int, tuple[int, str]] = {}
    table = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True)
    for line in table.stdout.splitlines():
        pid, parent, state = line.split()
        found[int(pid)] = (int(parent), state[0])
    return found


def _told(pid: int) -> tuple[int, str]:
    """The same of one process, as Linux tells it."""
    try:
        state, parent, *_ = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0, "X"
    return int(parent), state
