"""The selector of the supervisor's loop: a number that is free again is anybody's."""

from __future__ import annotations

import selectors
import socket

from distq.supervisor.service import Selector


def test_who_gets_the_number_of_a_socket_that_was_closed_takes_its_place() -> None:
    with Selector() as selector, socket.socket() as first:
        number = first.fileno()
        selector.register(first, selectors.EVENT_READ, "a link")
        first.close()
        mine, other = socket.socketpair()
        with mine, other:
            assert mine.fileno() == number
            selector.register(mine, selectors.EVENT_READ, "a visitor")
            other.send(b"x")
            ((key, _),) = selector.select(10)
            assert key.data == "a visitor"
