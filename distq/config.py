"""What a worker host runs with. Frozen; defaults < environment < command line, put together by the doors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WorkerConfig:
    """Settings of one `distq run`. Times are in milliseconds inside, seconds outside."""

    app: str
    """`module:attribute` of the application."""
    processes: int
    threads: int = 1
    """Tasks that one process runs at a time."""
    coroutines: int = 0
    """`async def` tasks that one event loop runs at a time, each in a process of its own beside those with threads; 0:
    there are none, and these tasks take a thread's seat."""
    max_tasks: int = 0
    """A process is replaced after so many tasks; 0: after any number."""
    max_memory: int = 0
    """A process is replaced when so many bytes are its own; 0: any number."""
    max_lifetime_ms: int = 0
    """A process is replaced when it is so old; 0: at any age."""
    queues: tuple[str, ...] = ()
    """Queues to serve; empty: all that the application declares."""
    types: tuple[str, ...] = ()
    """Types to run; empty: all."""
    exclude_types: tuple[str, ...] = ()
    """Types not to run."""
    tags: tuple[str, ...] = ()
    """What the host has, for tasks that need it; `*`: everything."""
    broker: str | None = None
    """Address that replaces the application's own."""
    lease_ms: int = 15_000
    grace_ms: int = 30_000
    max_deliveries: int = 3
    metrics_port: int | None = None
    """None: 8080 or the next free one; 0: none."""
    log_level: str = "INFO"
    log_format: str = "text"
    burst: bool = False
    """End when nothing is left to do."""
    reload: bool = False
    """Load the application afresh when its source changes."""
    import_path: str = "."
    """Folder put in front of sys.path before the application is imported."""

    @property
    def children(self) -> int:
        """Processes that there may always be: first those with threads, then as many with event loops."""
        return self.processes * 2 if self.coroutines else self.processes

    def is_loop(self, slot: int) -> bool:
        """Whether the process in this place has an event loop."""
        return self.processes <= self.position(slot) < self.children

    def position(self, slot: int) -> int:
        """Which of the processes that there always are belongs to this place; none below `children`: it is another."""
        return slot if slot < self.successors else slot - self.successors

    def is_alone(self, slot: int) -> bool:
        """Whether the place is for processes that run suspects."""
        return self.children <= slot < self.successors

    @property
    def successors(self) -> int:
        """The first place of a successor: each process has one, and they take turns."""
        return self.children + self.most_alone

    @property
    def slots(self) -> int:
        """Places on the status board: the processes, those for suspects, for successors, and one for isolated tasks."""
        return self.successors + self.children + 1

    @property
    def most_alone(self) -> int:
        """How many more processes there may be for a while, each for a suspect, which runs alone in its process. One
        that has a single thread can be had by a suspect as it is."""
        seats = self.processes * (self.threads + self.coroutines)
        return min(seats - 1, max(self.processes, 8)) if seats > self.processes else 0

    @property
    def pause_s(self) -> float:
        """Longest pause before the supervisor connects again: when the broker returns after long, all hosts must have
        renewed their leases before any has seen the others silent for two fifths of one."""
        return self.lease_ms / 10_000

    def connections(self, queues: int = 1, *, is_cluster: bool = False) -> int:
        """About how many this host keeps open to a server that has so many of its queues, each partition counted.

        One per process, one more where handlers enqueue, and its own; in a cluster each queue has these for itself.
        Where queues are waited for each by itself, every process has one more for each of them."""
        places = queues if is_cluster else 1
        waiting = queues if is_cluster or self.threads > 1 or self.coroutines else 0
        return (self.children + self.most_alone) * (2 * places + waiting) + 3 * places
