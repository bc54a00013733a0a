"""What the demo says of itself, checked against what lies in the folder and what the other side noted.

Each function takes plain data and answers with a claim: true or false, and the numbers behind it.
"""

from __future__ import annotations

import csv
import sqlite3
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from itertools import pairwise
from pathlib import Path

from PIL import Image

from distq.broker.verbs import Depths
from distq.rate import Rate
from examples.shop.app import WAREHOUSES, check_address
from examples.shop.demo.partners import SHAKY_FAILURES, mood, pieces
from examples.shop.demo.progress import Counts, total
from examples.shop.demo.records import Records
from examples.shop.demo.worker import PROCESSES
from examples.shop.journal import Entry

BACKOFF_S = (0.2, 0.4, 0.8)
"""Before each retry: what distq does when a task says nothing else."""


@dataclass(frozen=True)
class Claim:
    """A sentence, whether it is true, and by which numbers."""

    text: str
    is_true: bool
    numbers: str


def check_all(records: Records) -> list[Claim]:
    """Every claim of the demo."""
    folder, sent, partners, counts = records.folder, records.sent, records.partners, records.counts
    rate = check_address.declaration.rate
    assert rate is not None
    stock = {product: sum(pieces(warehouse, product) for warehouse in WAREHOUSES) for product in sent.stocks}
    return [
        every_task_done_once(counts, records.journal, records.planned),
        mails_arrived_once(folder / "mail", sent.mails),
        thumbnails_are_right(folder / "photos", folder / "thumbnails", sent.thumbnails),
        exports_are_complete(folder / "shop.sqlite", folder / "exports", records.months),
        answers_are_right(records.answers, stock),
        webhooks_accepted_once(partners.accepted, sent.webhooks),
        retries_kept_their_distance(partners.calls, sent.webhooks),
        dead_letters_were_replayed(counts, sent.webhooks.values(), records.depths.dead),
        reminders_came_on_time(records.reminder_delays, sent.reminders),
        mail_overtook_newsletters(records.journal),
        rate_was_kept(partners.address_calls, rate, records.planned["address"]),
        nothing_is_left(records.depths),
        worker_ended_well(records.worker_code),
    ]


def every_task_done_once(counts: Counts, entries: Iterable[Entry], planned: Mapping[str, int]) -> Claim:
    """The plan, the broker's ledger and the shop's journal agree on each type: nothing lost, nothing done twice."""
    returned = Counter(entry.type for entry in entries if entry.returned)
    wrong = [
        type
        for type, number in planned.items()
        if {number} != {returned[type], *(counts.get(type, {}).get(event) for event in ("enqueued", "completed"))}
    ]
    numbers = f"{total(counts, 'enqueued'):,} enqueued, {total(counts, 'completed'):,} completed"
    return Claim("every task was done, once", not wrong, ", wrong: ".join([numbers, *wrong]))


def mails_arrived_once(folder: Path, task_ids: Collection[str]) -> Claim:
    """By the Message-ID of each file that the mail server wrote."""
    read = BytesHeaderParser()
    arrived: Counter[str] = Counter()
    for path in folder.glob("*.eml"):
        with path.open("rb") as file:
            arrived[str(read.parse(file)["Message-ID"])] += 1
    expected = {f"<{id}@shop.example>" for id in task_ids}
    missing, twice = len(expected - arrived.keys()), sum(number > 1 for number in arrived.values())
    return Claim(
        "each e-mail arrived exactly once",
        arrived.keys() == expected and not twice,
        f"{len(expected):,} sent, {missing} missing, {twice} twice",
    )


def thumbnails_are_right(photos: Path, thumbnails: Path, wanted: Collection[tuple[str, int]]) -> Claim:
    """Each is a JPEG that can be decoded, of the wanted size and the photo's shape."""
    right = sum(
        is_thumbnail(photos / name, thumbnails / f"{Path(name).stem}-{width}.jpg", width) for name, width in wanted
    )
    return Claim("each thumbnail exists in its right size", right == len(wanted) > 0, f"{right} of {len(wanted)}")


def is_thumbnail(photo: Path, thumbnail: Path, width: int) -> bool:
    """Whether one file is what it should be."""
    try:
        with Image.open(photo) as large, Image.open(thumbnail) as small:
            small.load()
            scale = width / max(large.size)
            return (
                small.format == "JPEG"
                and max(small.size) == width
                and all(abs(ours - theirs * scale) <= 1 for ours, theirs in zip(small.size, large.size, strict=True))
            )
    except OSError:
        return False


def exports_are_complete(database: Path, exports: Path, months: Iterable[str]) -> Claim:
    """The CSV files hold as many orders, worth as much, as the database."""
    rows = cents = 0
    for path in (exports / f"orders-{month}.csv" for month in months):
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                amounts = [int(row["cents"]) for row in csv.DictReader(file)]
            rows, cents = rows + len(amounts), cents + sum(amounts)
    with closing(sqlite3.connect(database)) as connection:
        stored = connection.execute("SELECT count(*), sum(cents) FROM orders").fetchone()
    return Claim(
        "the CSV files hold what the database holds",
        (rows, cents) == stored,
        f"{rows:,} of {stored[0]:,} rows, {cents / 100:,.2f}",
    )


def answers_are_right(answers: Mapping[int, int], expected: Mapping[int, int]) -> Claim:
    """What `handle.get()` returned for each question about the stock."""
    right = sum(answers.get(product) == number for product, number in expected.items())
    return Claim("each result came back to who asked", right == len(expected) > 0, f"{right} of {len(expected)}")


def webhooks_accepted_once(accepted: Mapping[str, int], webhooks: Collection[str]) -> Claim:
    """By the Idempotency-Key of what the partner accepted."""
    once = sum(accepted.get(key, 0) == 1 for key in webhooks)
    others = sum(number > 0 and key not in webhooks for key, number in accepted.items())
    return Claim(
        "each webhook was accepted exactly once", once == len(webhooks) > 0 == others, f"{once} of {len(webhooks)}"
    )


def retries_kept_their_distance(calls: Mapping[str, Sequence[float]], webhooks: Mapping[str, int]) -> Claim:
    """A webhook that got 503 came again after 200, 400, 800 ms, not earlier, and as often as it had to."""
    retries = wrong = 0
    for key, order in webhooks.items():
        failures = {"well": 0, "shaky": SHAKY_FAILURES, "down": len(BACKOFF_S), "gone": 0}[mood(order)]
        is_replayed = mood(order) in ("down", "gone")
        gaps = [after - before for before, after in pairwise(calls.get(key, ()))]
        too_early = any(gap < least for gap, least in zip(gaps[:failures], BACKOFF_S, strict=False))
        retries += failures
        wrong += too_early or len(gaps) != failures + is_replayed
    return Claim("retries came after 200, 400, 800 ms", wrong == 0 < retries, f"{retries} retries, {wrong} wrong")


def dead_letters_were_replayed(counts: Counts, orders: Iterable[int], dead_now: int) -> Claim:
    """Those died that the partner refused for good; after the replay none is dead."""
    refused = sum(mood(order) in ("down", "gone") for order in orders)
    died, replayed = total(counts, "dead"), counts.get("webhook", {}).get("replayed", 0)
    return Claim(
        "dead letters were replayed, none is left",
        0 < refused == died == replayed and dead_now == 0,
        f"{died} died, {replayed} replayed, {dead_now} left",
    )


def reminders_came_on_time(delays: Mapping[int, float], reminders: Collection[int]) -> Claim:
    """`delays`: order -> seconds after the time at which it was due. A millisecond is the clock's grain."""
    early = sum(delay < -0.001 for delay in delays.values())
    latest = max(delays.values(), default=0.0)
    return Claim(
        "each reminder came once, and none early",
        delays.keys() == set(reminders) and not early,
        f"{len(delays)} of {len(reminders)}, the latest {latest * 1000:.0f} ms late",
    )


def mail_overtook_newsletters(entries: Collection[Entry], most: int = 30) -> Claim:
    """While newsletters waited that were enqueued earlier, an e-mail let pass only those that a worker had in hand.

    A worker takes what it can begin within 10 ms, so with two of them `most` is plenty.
    """
    newsletters = sorted(entry.started for entry in entries if entry.type == "newsletter")
    passed = [
        bisect_left(newsletters, mail.started) - bisect_right(newsletters, mail.enqueued)
        for mail in entries
        if mail.type == "email" and mail.attempt == 1 and newsletters and mail.started < newsletters[-1]
    ]
    worst = max(passed, default=0)
    return Claim(
        "e-mails (high) overtook newsletters (low)",
        worst <= most and len(passed) > 0,
        f"{len(passed)} did; at most {worst} went first",
    )


def rate_was_kept(calls: Sequence[float], rate: Rate, number: int) -> Claim:
    """Not more calls within any second than the rate and its burst, plus what the workers had in hand by then."""
    times = sorted(calls)
    allowed = rate.count * 1000 / rate.per_ms + rate.burst + PROCESSES * rate.burst
    busiest = max((bisect_left(times, begin + 1.0) - n for n, begin in enumerate(times)), default=0)
    seconds = times[-1] - times[0] if times else 0.0
    return Claim(
        f"the rate limit of {rate.count:g} per second held",
        busiest <= allowed and len(times) == number,
        f"{len(times)} in {seconds:.1f} s, at most {busiest} in 1 s",
    )


def nothing_is_left(depths: Depths) -> Claim:
    """In no queue, not scheduled, not held by a worker."""
    waiting = depths.high + depths.default + depths.low
    return Claim(
        "nothing is left in the queue",
        depths.live == waiting == depths.scheduled == depths.running == depths.workers == 0,
        f"{waiting} waiting, {depths.scheduled} scheduled, {depths.running} running",
    )


def worker_ended_well(code: int) -> Claim:
    """After SIGTERM."""
    return Claim("the worker ended cleanly after SIGTERM", code == 0, f"exit code {code}")
