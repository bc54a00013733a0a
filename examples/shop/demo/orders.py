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
    """Many at once: newsletters and exports at low priority, addresses and thumbnails at the default one."""
    readers = ((address("reader", n), 7) for n in range(amounts.newsletters))
    sent.mails += [handle.id for handle in send_newsletter.delay_many(readers)]
    export_orders.delay_many((month,) for month in months)
    check_address.delay_many((order,) for order in range(amounts.addresses))
    sent.thumbnails = [(photo, width) for photo in photos for width in WIDTHS]
    make_thumbnail.delay_many(sent.thumbnails)


def place_orders(sent: Sent, amounts: Amounts, check: Callable[[], None]) -> None:
    """Orders one by one, as quickly as customers place them; `check` may raise meanwhile."""
    begun = time.monotonic()
    for n in range(amounts.orders):
        time.sleep(max(0.0, begun + n / amounts.orders_per_s - time.monotonic()))
        place_order(sent, n)
        check()


def place_order(sent: Sent, n: int) -> None:
    """What has to be done for the n-th order."""
    order = FIRST_ORDER + n
    mail = send_email.delay(address("customer", n), f"Your order {order}", text="Thank you! It is on its way.")
    sent.mails.append(mail.id)
    sent.webhooks[post_webhook.delay(order, event="placed").id] = order
    if n % 2 == 1:
        sent.stocks[n] = check_stock.delay(product=n)
    if n % 10 == 9:
        due = datetime.now(UTC) + timedelta(milliseconds=500 + n * 37 % 3500)
        remind.options(eta=due).delay(order, due)
        sent.reminders[order] = due


def address(name: str, n: int) -> str:
    """An e-mail address; each 25th is at a provider that greylists."""
    return f"{name}-{n}{GREYLISTS if n % 25 == 9 else '@home.example'}"
