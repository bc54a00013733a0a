"""All commands. Each module holds a group of them; here they meet."""

from __future__ import annotations

from typing import Any

from distq.cli import (
    audit,
    bench,
    dev,
    dlq,
    doctor,
    limits,
    moving,
    pause,
    queues,
    run,
    schedules,
    server,
    tasks,
    top,
    why,
)
from distq.cli.line import root
from distq.cli.words import Group

ORDER = (
    "run", "dev", "server", "enqueue", "result", "cancel", "tasks", "why", "top", "queues", "purge", "pause", "resume",
    "paused", "limits", "schedules", "dlq", "audit", "doctor", "bench",
)  # fmt: skip
"""As people read them: hosts, single tasks, queues, what goes on by itself, what is wrong."""


class InOrder(Group):
    """The page of help lists groups among the other commands, where they belong."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All, in our order."""
        return sorted(self.commands, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))


app = root(InOrder)
app.command("run", epilog=run.EXAMPLES)(run.run)
app.command("dev", epilog=dev.EXAMPLES)(dev.dev)
app.command("server", epilog=server.EXAMPLES)(server.server)
app.command("enqueue", epilog=tasks.ENQUEUE_EXAMPLES)(tasks.enqueue)
app.command("result", epilog=tasks.RESULT_EXAMPLES)(tasks.result)
app.command("cancel", epilog=tasks.CANCEL_EXAMPLES)(tasks.cancel)
tasks.app.command("cancel", epilog=moving.CANCEL_EXAMPLES)(moving.cancel)
tasks.app.command("move", epilog=moving.MOVE_EXAMPLES)(moving.move)
tasks.app.command("reschedule", epilog=moving.RESCHEDULE_EXAMPLES)(moving.reschedule)
app.add_typer(tasks.app, name="tasks")
app.command("top", epilog=top.EXAMPLES)(top.top)
app.command("queues", epilog=queues.QUEUES_EXAMPLES)(queues.queues)
app.command("purge", epilog=queues.PURGE_EXAMPLES)(queues.purge)
app.command("pause", epilog=pause.PAUSE_EXAMPLES)(pause.pause)
app.command("resume", epilog=pause.RESUME_EXAMPLES)(pause.resume)
app.command("paused", epilog=pause.PAUSED_EXAMPLES)(pause.paused)
app.add_typer(limits.app, name="limits")
app.command("why", epilog=why.EXAMPLES)(why.why)
app.add_typer(dlq.app, name="dlq")
app.add_typer(schedules.app, name="schedules")
app.command("audit", epilog=audit.EXAMPLES)(audit.audit_command)
app.command("doctor", epilog=doctor.EXAMPLES)(doctor.doctor)
app.command("bench", epilog=bench.EXAMPLES)(bench.bench)
