"""How much of everything: the whole demo, and a small one for tests."""

from __future__ import annotations

from dataclasses import dataclass

WIDTHS = (64, 160, 320)
"""Of the thumbnails of each photo."""


@dataclass(frozen=True)
class Amounts:
    """How many of each kind, and how quickly orders come in."""

    newsletters: int
    addresses: int
    photos: int
    months: int
    """Of old orders to export."""
    orders: int
    """Each has an e-mail and a webhook, each 2nd asks for the stock, each 10th has a reminder."""
    orders_per_s: float

    def planned(self) -> dict[str, int]:
        """How many tasks of each type there will be."""
        return {
            "email": self.orders,
            "webhook": self.orders,
            "stock": self.orders // 2,
            "reminder": self.orders // 10,
            "thumbnail": self.photos * len(WIDTHS),
            "address": self.addresses,
            "newsletter": self.newsletters,
            "export": self.months,
        }


ALL = Amounts(newsletters=2000, addresses=150, photos=30, months=12, orders=600, orders_per_s=50)
FEW = Amounts(newsletters=400, addresses=30, photos=4, months=3, orders=80, orders_per_s=50)
