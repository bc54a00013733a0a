"""What the shop enqueues: first a night's backlog, then orders that come in live."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from distq import Handle
from examples.shop.app import (
    check_address,
    check_stock,
    export_orders,
    make_thumbnail,
    post_webhook,
    remind,
    send_email,
    send_newsletter,
)
from examples.shop.demo.amounts import WIDTHS, Amounts
from examples.shop.demo.mail import GREYLISTS

FIRST_ORDER = 10_000


@dataclass
class Sent:
    """What was enqueued, so that it can be asked for afterwards."""

    mails: list[str] = field(default_factory=list)
    """Task ids of e-mails and newsletters."""
    thumbnails: list[tuple[str, int]] = field(default_factory=list)
    webhooks: dict[str, int] = field(default_factory=dict)
    """Task id -> order."""
    stocks: dict[int, Handle[int]] = field(default_factory=dict)
    """Product -> the handle of the answer."""
    reminders: dict[int, datetime] = field(default_factory=dict)
    """Order -> when it is due."""


def enqueue_backlog(sent: Sent, amounts: Amounts, photos: Sequence[str], months: Sequence[str]) -> None:
    """Newsletters and exports at low, thumbnails at default priority: many at once."""
    newsletters = send_newsletter.delay_many((customer(n), 7) for n in range(amounts.newsletters))
    sent.mails += [handle.id for handle in newsletters]
    export_orders.delay_many((month,) for month in months)
    sent.thumbnails = [(photo, width) for photo in photos for width in WIDTHS]
    make_thumbnail.delay_many(sent.thumbnails)


def place_orders(sent: Sent, amounts: Amounts, tick: Callable[[], None]) -> None:
    """Orders one by one, as quickly as customers place them; `tick` is called after each."""
    begun = time.monotonic()
    for n in range(amounts.orders):
        time.sleep(max(0.0, begun + n / amounts.orders_per_s - time.monotonic()))
        place_order(sent, amounts, n)
        tick()


def place_order(sent: Sent, amounts: Amounts, n: int) -> None:
    """What has to be done for the n-th order: always an e-mail, and one thing or another."""
    order = FIRST_ORDER + n
    sent.mails.append(send_email.delay(customer(n), f"Your order {order}", "Thank you! It is on its way.").id)
    if is_among(n, amounts.webhooks, amounts.orders):
        sent.webhooks[post_webhook.delay(order, event="placed").id] = order
    if is_among(n, amounts.stocks, amounts.orders):
        sent.stocks[n] = check_stock.delay(n)
    if is_among(n, amounts.addresses, amounts.orders):
        check_address.delay(order)
    if is_among(n, amounts.reminders, amounts.orders):
        due = datetime.now(UTC) + timedelta(milliseconds=500 + len(sent.reminders) * 379 % 4000)
        remind.options(eta=due).delay(order, due)
        sent.reminders[order] = due


def customer(n: int) -> str:
    """An address; each 25th is at a provider that greylists."""
    return f"customer-{n}{GREYLISTS if n % 25 == 9 else '@home.example'}"


def is_among(n: int, part: int, whole: int) -> bool:
    """Whether n is one of `part` numbers that lie evenly among `whole`."""
    return (n + 1) * part // whole > n * part // whole
