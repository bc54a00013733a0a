"""The demo: it runs to its end and its claims hold; and where one does not hold, it says so and fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from distq.broker.verbs import Depths
from distq.rate import Rate
from examples.shop.demo import claims
from examples.shop.demo.files import make_database, make_folder, make_photos
from examples.shop.journal import Entry
from tests.support.eventually import eventually

ROOT = Path(__file__).parents[2]
DEMO = [sys.executable, "-m", "examples.shop.demo", "--fast", "--output"]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)


def test_it_ends_by_itself_with_every_claim_true(tmp_path: Path) -> None:
    done = run([*DEMO, str(tmp_path)])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All 13 claims are true" in done.stdout
    assert done.stdout.count("✓") == 13
    assert "✗" not in done.stdout
    assert "\x1b" not in done.stdout, "control characters where there is no terminal"
    assert done.stderr == ""
    assert len(list((tmp_path / "mail").glob("*.eml"))) == 480
    assert len(list((tmp_path / "thumbnails").glob("*.jpg"))) == 12
    assert len(list((tmp_path / "exports").glob("*.csv"))) == 3
    assert len((tmp_path / "reminders.csv").read_text().splitlines()) == 8
    assert "Worker started." in (tmp_path / "worker.log").read_text()


LOSING = """
import sys
from examples.shop.demo import __main__ as demo

class LosingServer(demo.MailServer):
    async def handle_DATA(self, server, session, envelope):
        lost = b"reader-17@" in envelope.content
        return "250 OK" if lost else await super().handle_DATA(server, session, envelope)

demo.MailServer = LosingServer
sys.exit(demo.main(["--fast", "--output", sys.argv[1]]))
"""


def test_a_mail_server_that_loses_one_mail_makes_it_fail(tmp_path: Path) -> None:
    done = run([sys.executable, "-c", LOSING, str(tmp_path)])
    assert done.returncode == 1, done.stdout + done.stderr
    assert "✗ each e-mail arrived exactly once" in done.stdout
    assert "480 sent, 1 missing" in done.stdout
    assert "1 of 13 claims are false" in done.stdout


def test_ctrl_c_ends_everything(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [*DEMO, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        eventually((tmp_path / "journal.jsonl").exists, "the first task has run")
        demo.send_signal(signal.SIGINT)
        said, _ = demo.communicate(timeout=60)
    finally:
        demo.kill()
    assert demo.returncode == 130, said
    assert "Stopped" in said
    assert "Traceback" not in said
    assert "SIGTERM: finishing what runs" in (tmp_path / "worker.log").read_text()


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    done = run([*DEMO, str(tmp_path)])
    assert done.returncode == 1
    assert "thesis.tex" in os.listdir(tmp_path)
    assert "another --output" in done.stdout


# -- each claim can be false -------------------------------------------------------------------------------------------

IDS = ["default.1", "default.2"]


def write_mails(folder: Path, *ids: str) -> None:
    for number, id in enumerate(ids):
        (folder / f"{number}.eml").write_text(f"Message-ID: <{id}@shop.example>\nTo: a@b.example\n\nHi\n")


@pytest.mark.parametrize(
    ("arrived", "is_true"), [(IDS, True), (IDS[:1], False), ([*IDS, IDS[0]], False), ([*IDS, "other"], False)]
)
def test_mails(tmp_path: Path, arrived: list[str], is_true: bool) -> None:
    write_mails(tmp_path, *arrived)
    assert claims.mails_arrived_once(tmp_path, IDS).is_true is is_true


def test_thumbnails(tmp_path: Path) -> None:
    make_folder(tmp_path)
    (photo,) = make_photos(tmp_path / "photos", 1)
    small = tmp_path / "thumbnails"
    small.mkdir()
    claim = claims.thumbnails_are_right(tmp_path / "photos", small, [(photo, 64)])
    assert not claim.is_true, "there is none"
    (small / "photo-01-64.jpg").write_bytes(b"no image")
    assert not claims.thumbnails_are_right(tmp_path / "photos", small, [(photo, 64)]).is_true
    (small / "photo-01-64.jpg").write_bytes((tmp_path / "photos" / photo).read_bytes())
    assert not claims.thumbnails_are_right(tmp_path / "photos", small, [(photo, 64)]).is_true, "not scaled"


def test_exports(tmp_path: Path) -> None:
    months = make_database(tmp_path / "shop.sqlite", 1)
    assert not claims.exports_are_complete(tmp_path / "shop.sqlite", tmp_path, months).is_true, "no file"
    (tmp_path / f"orders-{months[0]}.csv").write_text("id,placed,customer,product,cents\n1,2025-01-01,a,1,500\n")
    assert not claims.exports_are_complete(tmp_path / "shop.sqlite", tmp_path, months).is_true, "one row only"


def test_webhooks() -> None:
    assert claims.webhooks_accepted_once({"a": 1, "b": 1}, IDS_OF_WEBHOOKS).is_true
    assert not claims.webhooks_accepted_once({"a": 1, "b": 0}, IDS_OF_WEBHOOKS).is_true
    assert not claims.webhooks_accepted_once({"a": 1, "b": 2}, IDS_OF_WEBHOOKS).is_true
    assert not claims.webhooks_accepted_once({"a": 1, "b": 1, "c": 1}, IDS_OF_WEBHOOKS).is_true


IDS_OF_WEBHOOKS = {"a": 1, "b": 3}
"""Order 1 is accepted at once, 3 after two failures."""


@pytest.mark.parametrize(
    ("calls", "is_true"),
    [
        ([10.0, 10.21, 10.62], True),
        ([10.0, 10.19, 10.62], False),
        ([10.0, 10.21, 10.5], False),
        ([10.0, 10.21], False),
    ],
)
def test_retries(calls: list[float], is_true: bool) -> None:
    assert claims.retries_kept_their_distance({"a": [9.0], "b": calls}, IDS_OF_WEBHOOKS).is_true is is_true


@pytest.mark.parametrize(("died", "replayed", "left", "is_true"), [(1, 1, 0, True), (1, 0, 1, False), (0, 0, 0, False)])
def test_dead_letters(died: int, replayed: int, left: int, is_true: bool) -> None:
    counts = {"webhook": {"dead": died, "replayed": replayed}}
    assert claims.dead_letters_were_replayed(counts, [1, 7], left).is_true is is_true


def test_reminders() -> None:
    assert claims.reminders_came_on_time({1: 0.01, 2: 0.0}, [1, 2]).is_true
    assert not claims.reminders_came_on_time({1: 0.01, 2: -0.01}, [1, 2]).is_true, "early"
    assert not claims.reminders_came_on_time({1: 0.01}, [1, 2]).is_true, "missing"


def entry(type: str, enqueued: float, started: float) -> Entry:
    return Entry(type, "id", 1, enqueued, started, started + 0.01, True)


def test_priorities() -> None:
    newsletters = [entry("newsletter", 0.0, 0.1 * n) for n in range(100)]
    quick, slow = entry("email", 1.0, 1.15), entry("email", 1.0, 9.0)
    assert claims.mail_overtook_newsletters([*newsletters, quick]).is_true
    assert not claims.mail_overtook_newsletters([*newsletters, quick, slow]).is_true
    assert not claims.mail_overtook_newsletters(newsletters).is_true, "no e-mail, no claim"


def test_rate() -> None:
    rate = Rate.parse("20/s")
    assert claims.rate_was_kept([n / 20 for n in range(100)], rate, 100).is_true
    assert not claims.rate_was_kept([n / 30 for n in range(100)], rate, 100).is_true
    assert not claims.rate_was_kept([n / 20 for n in range(99)], rate, 100).is_true


def test_books() -> None:
    counts = {"email": {"enqueued": 1, "completed": 1}}
    once = [entry("email", 0.0, 1.0)]
    assert claims.every_task_done_once(counts, once, {"email": 1}).is_true
    assert not claims.every_task_done_once(counts, once * 2, {"email": 1}).is_true, "twice"
    assert not claims.every_task_done_once(counts, [], {"email": 1}).is_true, "never"
    assert not claims.every_task_done_once({}, [], {"email": 1}).is_true


def test_the_rest() -> None:
    empty = Depths(0, 0, 0, 0, 0, 0, 0, 0, 0)
    assert claims.nothing_is_left(empty).is_true
    assert not claims.nothing_is_left(empty._replace(low=1, live=1)).is_true
    assert not claims.nothing_is_left(empty._replace(workers=1)).is_true
    assert claims.answers_are_right({1: 5}, {1: 5}).is_true
    assert not claims.answers_are_right({1: 6}, {1: 5}).is_true
    assert not claims.worker_ended_well(1).is_true
