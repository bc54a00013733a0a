"""The background work of a small shop. Copy what you need.

    distq run examples.shop.app:app

Each task may run more than once (its process can die at any point), so each can be repeated without harm: an e-mail
and a webhook carry the task's id, files are written under a name of their own.
"""

from __future__ import annotations

import asyncio
import csv
import json
import os
import smtplib
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from PIL import Image

from distq import Distq, Reject, current
from examples.shop.journal import journal

SMTP_HOST, _, SMTP_PORT = os.environ.get("SHOP_SMTP", "localhost:1025").partition(":")
WEBHOOK = os.environ.get("SHOP_WEBHOOK", "http://localhost:8000/webhook")
API = os.environ.get("SHOP_API", "http://localhost:8000")
FILES = Path(os.environ.get("SHOP_FILES", "shop-files"))
"""Holds `shop.sqlite` and `photos/`; gets `thumbnails/`, `exports/` and `reminders.csv`."""

WAREHOUSES = ("north", "south", "overseas")

app = Distq("shop", middleware=[journal])


@app.task(type="email", priority="high")
def send_email(to: str, subject: str, text: str) -> None:
    """What a customer waits for, such as the confirmation of an order: ahead of everything else."""
    deliver(to, subject, text)


@app.task(type="newsletter", priority="low")
def send_newsletter(to: str, issue: int) -> None:
    """What nobody waits for: when nothing else is to do."""
    deliver(to, f"Our news, issue {issue}", "Look what is new in the shop.")


def deliver(to: str, subject: str, text: str) -> None:
    """Hands a mail to the server. "Try again later" is an error, and errors are tried again later."""
    mail = EmailMessage()
    mail["Message-ID"] = f"<{current().id}@shop.example>"
    mail["From"], mail["To"], mail["Subject"] = "The shop <hello@shop.example>", to, subject
    mail.set_content(text)
    with smtplib.SMTP(SMTP_HOST, int(SMTP_PORT), local_hostname="shop.example", timeout=10) as server:
        server.send_message(mail)


@app.task(type="thumbnail")
def make_thumbnail(photo: str, width: int) -> str:
    """A smaller JPEG of a photo, at most `width` pixels wide and high; returns its name."""
    name = f"{Path(photo).stem}-{width}.jpg"
    with Image.open(FILES / "photos" / photo) as image:
        image.thumbnail((width, width))
        image.convert("RGB").save(place("thumbnails", name), quality=85)
    return name


@app.task(type="webhook")
def post_webhook(order: int, event: str) -> None:
    """Tells a partner. After a 503 or no answer: again in 200, 400, 800 ms; then it is a dead letter.

    The partner knows a repeated call by its Idempotency-Key.
    """
    body = json.dumps({"order": order, "event": event}).encode()
    headers = {"Content-Type": "application/json", "Idempotency-Key": current().id}
    try:
        urlopen(Request(WEBHOOK, body, headers), timeout=10).close()
    except HTTPError as error:
        error.close()
        if error.code == 410:
            raise Reject("the partner has no such address any more") from error
        raise


@app.task(type="export", priority="low")
def export_orders(month: str) -> int:
    """The orders of a month ("2025-11") as CSV; returns how many."""
    with closing(sqlite3.connect(f"file:{FILES / 'shop.sqlite'}?mode=ro", uri=True)) as database:
        rows = database.execute(
            "SELECT id, placed, customer, product, cents FROM orders WHERE placed LIKE ? ORDER BY id", (f"{month}-%",)
        ).fetchall()
    with place("exports", f"orders-{month}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "placed", "customer", "product", "cents"))
        writer.writerows(rows)
    return len(rows)


@app.task(type="reminder")
def remind(order: int, due: datetime) -> None:
    """Notes a basket that was left behind; enqueue it with `remind.options(eta=due)`."""
    with place("reminders.csv").open("a", encoding="utf-8") as file:
        file.write(f"{order},{due.isoformat()},{datetime.now(UTC).isoformat()}\n")


@app.task(type="address", rate="20/s")
def check_address(order: int) -> bool:
    """Asks a service that allows 20 calls per second; the limit holds for all workers together."""
    with urlopen(f"{API}/address/{order}", timeout=10) as answer:
        return bool(json.load(answer)["deliverable"])


@app.task(type="stock")
async def check_stock(product: int) -> int:
    """How many there are in all warehouses, which are asked at the same time."""

    def ask(warehouse: str) -> int:
        with urlopen(f"{API}/stock/{warehouse}/{product}", timeout=10) as answer:
            return int(json.load(answer)["pieces"])

    return sum(await asyncio.gather(*(asyncio.to_thread(ask, warehouse) for warehouse in WAREHOUSES)))


def place(*names: str) -> Path:
    """Where a file is to be written."""
    path = FILES.joinpath(*names)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
