"""inventory: the keys of a queue, with what they are."""

from __future__ import annotations

from distq.broker import inventory, keys
from tests.support import states
from tests.support.room import Room


def test_it_names_the_keys_of_this_queue_only(room: Room) -> None:
    states.completed_(room)
    states.dead(room)
    room.enqueue(id="mine", token="1")
    other = Room(room.url, room.app, "other")
    other.enqueue()
    other.close()
    stock, cursor = inventory.Stock(room.prefix), ""
    while cursor != "0":
        cursor = stock.add(room.run(inventory.page(room.prefix, cursor or "0")))
    assert not stock.strays
    assert sorted(name for kind in keys.QUEUE_KEYS for name in stock.names(kind)) == room.all_keys()
    assert stock.suffixes("SENT") == ["mine"]
