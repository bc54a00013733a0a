"""The systems: what is installed, how each is started and tuned, and what it does with a task whose worker is killed.

Versions are pinned here and nowhere else. `tuning` says in what the start differs from the system's own defaults, and
why; `killed` says what its documentation and its code of that version say about `kill -9` in this configuration.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".bench"
PROGRAMS = Path(__file__).parent / "programs"
MODULES = "benchmarks.peers.programs"

Workers = Callable[[int, int | None], list[list[str]]]
"""Worker processes, slots in each (None: the system's usual number) → the commands that start them."""


@dataclass(frozen=True)
class System:
    """One task queue."""

    key: str
    name: str
    language: str
    packages: tuple[str, ...]
    """Of pip, npm or Debian, with their versions; none: this checkout."""
    workers: Workers
    producer: list[str]
    tuning: str
    killed: str
    stores_results: bool = True
    bulk: str | None = None
    """What its call for many tasks at once is called."""
    slots: bool = True
    """Whether one worker process can run several tasks at a time."""
    producers: str = "threads"

    @property
    def is_python_peer(self) -> bool:
        """Whether distq is compared with it as with one of its own kind."""
        return self.language == "Python" and bool(self.packages)


def tool(key: str, name: str) -> str:
    """A program in the environment of a Python system."""
    return str(HOME / key / "bin" / name)


def _python(key: str) -> list[str]:
    return [tool(key, "python"), "-m", f"{MODULES}.driver", key]


def _distq(processes: int, slots: int | None) -> list[list[str]]:
    options = ["--metrics-port", "0", "--log-level", "ERROR", "--threads", str(slots or 1)]
    return [[sys.executable, "-m", "distq", "run", f"{MODULES}.distq:app", "-p", str(processes), *options]]


def _celery(processes: int, slots: int | None) -> list[list[str]]:
    options = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    return [
        [tool("celery", "celery"), "-A", f"{MODULES}.celery", "worker", "-c", str(processes), "-l", "ERROR", *options]
    ]


def _dramatiq(processes: int, slots: int | None) -> list[list[str]]:
    return [[tool("dramatiq", "dramatiq"), f"{MODULES}.dramatiq", "-p", str(processes), "-t", str(slots or 8)]]


def _rq(processes: int, slots: int | None) -> list[list[str]]:
    options = ["-u", "{url}", "-q", "-l", "ERROR"]
    return [[tool("rq", "rq"), "worker-pool", "bench", "-n", str(processes), "-w", "rq.SimpleWorker", *options]]


def _huey(processes: int, slots: int | None) -> list[list[str]]:
    # With processes its workers are processes; several slots are threads of several consumers.
    if slots:
        return [[tool("huey", "huey_consumer"), f"{MODULES}.huey.huey", "-w", str(slots), "-q", "-n"]] * processes
    return [[tool("huey", "huey_consumer"), f"{MODULES}.huey.huey", "-k", "process", "-w", str(processes), "-q", "-n"]]


def _taskiq(processes: int, slots: int | None) -> list[list[str]]:
    options = ["--max-async-tasks", str(slots or 100), "--log-level", "ERROR"]
    return [[tool("taskiq", "taskiq"), "worker", f"{MODULES}.taskiq:broker", "--workers", str(processes), *options]]


def _saq(processes: int, slots: int | None) -> list[list[str]]:
    return [["env", f"BENCH_SLOTS={slots or 10}", tool("saq", "saq"), f"{MODULES}.saq.settings", "-q"]] * processes


def _docket(processes: int, slots: int | None) -> list[list[str]]:
    options = ["--url", "{url}", "--concurrency", str(slots or 75), "--logging-level", "ERROR"]
    return [
        [tool("docket", "docket"), "worker", "--tasks", f"{MODULES}.docket:tasks", "--docket", "bench", *options]
    ] * processes


def _bullmq(processes: int, slots: int | None) -> list[list[str]]:
    return [["node", str(PROGRAMS / "bullmq.cjs"), "work", str(slots or 100)]] * processes


def _sidekiq(processes: int, slots: int | None) -> list[list[str]]:
    return [["sidekiq", "-r", str(PROGRAMS / "sidekiq.rb"), "-c", str(slots or 10)]] * processes


ALL = [
    System(
        key="distq",
        name="distq",
        language="Python",
        packages=(),
        workers=_distq,
        producer=[sys.executable, "-m", f"{MODULES}.driver", "distq"],
        tuning="none, but its port for metrics is closed, since the others have none",
        killed="The supervisor sees its process die and gives the task back at once; it runs again, alone in its "
        "process, and is dead after three such deaths. If the whole host is killed, the lease of 15 s ends first.",
        bulk="delay_many",
    ),
    System(
        key="celery",
        name="Celery",
        language="Python",
        packages=("celery[redis]==5.7.0", "redis==8.1.0", "hiredis==3.5.0"),
        workers=_celery,
        producer=_python("celery"),
        tuning="prefetch multiplier 128, as the guide says for short tasks; no gossip, mingle or heartbeat, which "
        "nobody listens to here; results kept (`task_ignore_result` off), as by the others",
        killed="**Lost**: by default a message is acknowledged before its task starts. The main process of the pool "
        "notices the death of a child and stores `WorkerLostError` as the result. `task_acks_late` with "
        "`task_reject_on_worker_lost` would run it again. What was only prefetched comes back after an hour "
        "(`visibility_timeout`) if the main process is killed.",
        bulk="group().apply_async()",
        slots=False,
    ),
    System(
        key="dramatiq",
        name="Dramatiq",
        language="Python",
        packages=("dramatiq[redis]==2.2.1", "redis==8.1.0", "hiredis==3.5.0"),
        workers=_dramatiq,
        producer=_python("dramatiq"),
        tuning="the results middleware, since results are stored by the others; 8 threads per process, its default",
        killed="Runs again: messages are acknowledged afterwards. The death of one process ends all of its command; "
        "another one takes the task over about a minute after the last heartbeat (`heartbeat_timeout`, 60 s). Nothing "
        "limits how often a task may kill its worker.",
    ),
    System(
        key="rq",
        name="RQ",
        language="Python",
        packages=("rq==3.0.0", "redis==8.1.0", "hiredis==3.5.0"),
        workers=_rq,
        producer=_python("rq"),
        tuning="SimpleWorker, which runs jobs in its own process: its usual worker forks for each job, which is safer "
        "and takes a multiple of the time",
        killed="Ends as failed: when its timeout and a minute are over (4 minutes by default), the next maintenance of "
        "a worker (every 10 minutes) moves it to the failed jobs as abandoned. It runs again only if it was enqueued "
        "with `Retry`.",
        bulk="enqueue_many",
        slots=False,
    ),
    System(
        key="huey",
        name="Huey",
        language="Python",
        packages=("huey==3.5.4", "redis==8.1.0", "hiredis==3.5.0"),
        workers=_huey,
        producer=_python("huey"),
        tuning="process workers, as its documentation says for work that needs the processor; no periodic tasks",
        killed="**Lost**: it is popped from the list when a worker takes it, and nothing else holds it.",
    ),
    System(
        key="taskiq",
        name="taskiq",
        language="Python",
        packages=("taskiq==0.13.0", "taskiq-redis==1.2.4", "redis==8.1.0", "hiredis==3.5.0"),
        workers=_taskiq,
        producer=_python("taskiq"),
        tuning="the stream broker, the one that acknowledges; 100 tasks at a time per process, its default",
        killed="Runs again: another worker claims it when it has been idle for 10 minutes (`idle_timeout`), whether "
        "its worker is dead or merely slow.",
        producers="coroutines",
    ),
    System(
        key="saq",
        name="SAQ",
        language="Python",
        packages=("saq[redis]==0.26.4", "redis==7.4.1", "hiredis==3.5.0", "typing_extensions==4.16.0"),
        workers=_saq,
        producer=_python("saq"),
        tuning="one process per command, 10 tasks at a time in each, its default; hiredis as it advises",
        killed="Ends as aborted: a sweep (every 60 s) finds that its timeout (10 s by default) is over. It runs again "
        "only if it was enqueued with `retries` above 1.",
        producers="coroutines",
    ),
    System(
        key="docket",
        name="docket",
        language="Python",
        packages=("pydocket==0.27.0", "redis==8.1.0", "hiredis==3.5.0"),
        workers=_docket,
        producer=_python("docket"),
        tuning="one process per command, 75 tasks at a time in each: with all slots taken it looks for more only every "
        "100 ms, so its default of 10 would be 100 tasks/s; with 100 its connection pool runs dry",
        killed="Runs again: another worker claims it five minutes later (`redelivery_timeout`); live workers renew.",
        bulk="add_many",
        producers="coroutines",
    ),
    System(
        key="bullmq",
        name="BullMQ",
        language="Node",
        packages=("bullmq@6.7.0", "ioredis@6.0.0"),
        workers=_bullmq,
        producer=["node", str(PROGRAMS / "bullmq.cjs"), "produce"],
        tuning="concurrency 100 per process, for handlers that wait, as its documentation says; completed jobs are "
        "kept with their return values, its default",
        killed="Runs again: its lock ends (30 s), and the next check for stalled jobs (every 30 s) puts it back; the "
        "second time it fails (`maxStalledCount` 1).",
        bulk="addBulk",
        producers="coroutines",
    ),
    System(
        key="sidekiq",
        name="Sidekiq",
        language="Ruby",
        packages=("ruby-sidekiq",),
        workers=_sidekiq,
        producer=["ruby", str(PROGRAMS / "sidekiq.rb")],
        tuning="10 threads per process, its default; log level error, since a line per job costs more than the job",
        killed="**Lost**: it is popped from the list when a worker takes it, and nothing else holds it (the paid "
        "editions have `super_fetch`).",
        stores_results=False,
        bulk="push_bulk",
    ),
]

BY_KEY = {system.key: system for system in ALL}
