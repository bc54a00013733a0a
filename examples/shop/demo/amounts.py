"""How much of everything: the whole demo, and a small one for tests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Amounts:
    """How many of each kind, and how quickly orders come in."""

    newsletters: int
    orders: int
    """Each has an e-mail; each of the following belongs to some of them."""
    orders_per_s: float
    webhooks: int
    stocks: int
    addresses: int
    reminders: int
    photos: int
    """Each in three widths."""
    months: int
    """Of old orders to export."""

    def planned(self) -> dict[str, int]:
        """How many tasks of each type there will be."""
        return {
            "email": self.orders,
            "newsletter": self.newsletters,
            "thumbnail": self.photos * len(WIDTHS),
            "webhook": self.webhooks,
            "stock": self.stocks,
            "address": self.addresses,
            "reminder": self.reminders,
            "export": self.months,
        }


WIDTHS = (64, 160, 320)

ALL = Amounts(
    newsletters=1000, orders=500, orders_per_s=50, webhooks=300, stocks=200, addresses=100, reminders=40, photos=20,
    months=12,
)  # fmt: skip
FEW = Amounts(
    newsletters=200, orders=80, orders_per_s=50, webhooks=50, stocks=20, addresses=30, reminders=10, photos=4, months=3
)
