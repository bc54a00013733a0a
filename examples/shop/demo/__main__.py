"""The play, in order. `python -m examples.shop.demo [--fast] [--output FOLDER]`."""

from __future__ import annotations

import argparse
import io
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from distq import DistqError
from distq.broker import inspect, verbs
from distq.embedded import EmbeddedBroker
from examples.shop.app import app
from examples.shop.demo import files, summary
from examples.shop.demo.amounts import ALL, FEW, Amounts
from examples.shop.demo.claims import check_all
from examples.shop.demo.mail import MailServer
from examples.shop.demo.orders import Sent, enqueue_backlog, place_orders
from examples.shop.demo.partners import Partners
from examples.shop.demo.progress import Counts, Progress, TookTooLong, read_ledger
from examples.shop.demo.records import Records, read_reminders
from examples.shop.demo.worker import WorkerFailed, WorkerHost
from examples.shop.journal import read as read_journal


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demo; returns the exit code: 0 if all its claims are true."""
    options = parse(arguments)
    console = Console(highlight=False)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without “✓” shows "?"
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    try:
        return play(console, options.output.absolute(), FEW if options.fast else ALL)
    except KeyboardInterrupt:
        console.print("\nStopped: worker, broker and servers have ended.")
        return 130
    except (DistqError, FileExistsError, TookTooLong, WorkerFailed) as error:
        console.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        return 1


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser("python -m examples.shop.demo", description="Real work through distq, checked.")
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="folder for all files; replaced")
    parser.add_argument("--fast", action="store_true", help="less of everything, for tests")
    return parser.parse_args(arguments)


def play(console: Console, folder: Path, amounts: Amounts) -> int:
    """Sets the stage, works, checks, tells."""
    sent = Sent()
    with ExitStack() as stack:
        progress = Progress(app, amounts.planned(), console)
        progress.say("makes photos and a database; starts mail server, HTTP server, broker")
        files.make_folder(folder)
        mail = stack.enter_context(MailServer(folder / "mail"))
        partners = stack.enter_context(Partners())
        broker = stack.enter_context(EmbeddedBroker())
        app.rebind(broker.url)
        photos = files.make_photos(folder / "photos", amounts.photos)
        months = files.make_database(folder / "shop.sqlite", amounts.months)
        settings = {
            "SHOP_SMTP": mail.address,
            "SHOP_WEBHOOK": f"{partners.url}/webhook",
            "SHOP_API": partners.url,
            "SHOP_FILES": str(folder),
            "SHOP_JOURNAL": str(folder / "journal.jsonl"),
        }
        worker = stack.enter_context(WorkerHost(broker.url, settings, folder / "worker.log"))

        progress.say("`distq run` is ready, with two worker processes")
        with progress:
            enqueue_backlog(sent, amounts, photos, months)
            progress.say("a backlog waits (newsletters, exports, photos); now orders come in")
            place_orders(sent, amounts, worker.check)
            progress.say("the last order was placed")
            progress.wait_until(webhooks_have_ended, "the end of all webhooks", worker.check)
            for line in dead_letters():
                progress.say(f"dead: {line}")
            partners.repair()
            progress.say("the partner is repaired; $ distq dlq replay --type webhook")
            progress.say(replay(broker.url))
            progress.wait_until(all_is_done, "the end of all tasks", worker.check)
            progress.say("all is done")

        answers = {product: handle.get(timeout=5) for product, handle in sent.stocks.items()}
        records = Records(
            folder=folder,
            planned=amounts.planned(),
            months=months,
            sent=sent,
            partners=partners,
            answers=answers,
            counts=read_ledger(app),
            journal=read_journal(folder / "journal.jsonl"),
            reminder_delays=read_reminders(folder / "reminders.csv"),
            worker_code=worker.stop(),
            depths=app.broker.run(verbs.depths(app.broker.prefix("default"))),
        )
    summary.show_table(console, records)
    summary.show_files(console, folder)
    return summary.show_claims(console, check_all(records), progress.elapsed)


def webhooks_have_ended(counts: Counts) -> bool:
    """Each is completed or dead."""
    events = counts["webhook"]
    return events["enqueued"] == events.get("completed", 0) + events.get("dead", 0)


def all_is_done(counts: Counts) -> bool:
    """Each is completed; the dead ones were replayed."""
    return all(events["enqueued"] == events.get("completed", 0) for events in counts.values())


def dead_letters() -> list[str]:
    """How many webhooks are dead, by their last error."""
    letters = inspect.dead_letters(app.broker, "default", inspect.DeadFilter(type="webhook"))
    reasons = Counter(letter.message for letter in letters)
    return [f"{number} webhooks: {reason}" for reason, number in reasons.most_common()]


def replay(broker: str) -> str:
    """What a person would type, and what it says."""
    command = [sys.executable, "-m", "distq", "dlq", "replay", "--type", "webhook", "--broker", broker]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return (done.stdout + done.stderr).strip()


if __name__ == "__main__":
    sys.exit(main())
