"""How many replicas have to confirm a durable call."""

from __future__ import annotations

from distq.broker.witness import ABSENT_S, Disk, Replicas


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def role(*offsets: int) -> list[object]:
    """What ROLE says of a primary with replicas that have confirmed so much."""
    return [b"master", 99, [[b"10.0.0.1", b"6379", b"%d" % offset] for offset in offsets]]


def group(*offsets: int, believed: int | None = None, has_sentinel: bool = False) -> tuple[Replicas, Clock]:
    clock = Clock()
    found = Replicas(100, clock)
    found.meet(role(*offsets), believed, has_sentinel)
    return found, clock


def test_all_that_are_there_have_to_confirm() -> None:
    found, _ = group(50, 60)
    assert b"$4\r\nWAIT\r\n$1\r\n2\r\n" in found.command
    assert not found.confirms(1, role(50, 60))
    assert found.lack(1) == "1 of 2 replicas have"
    assert found.confirms(2, role(50, 60))


def test_one_at_least_has_to() -> None:
    found, _ = group()
    assert not found.confirms(0, role())
    assert found.lack(0) == "no replica has"
    assert found.confirms(1, role(50))


def test_one_that_loads_what_it_was_sent_is_not_waited_for() -> None:
    found, _ = group(50, 0)
    assert found.confirms(1, role(60, 0))
    assert not found.confirms(1, role(70, 60))
    assert found.confirms(2, role(70, 70))


def test_one_that_has_left_is_missed_for_a_while() -> None:
    found, clock = group(50, 60)
    assert not found.confirms(1, role(50))
    for passed in (0.0, 0.9 * ABSENT_S):
        clock.now += passed
        found.meet(role(50), None, False)
        assert found.number == 2
    clock.now += 0.2 * ABSENT_S
    found.meet(role(50), None, False)
    assert found.confirms(1, role(50))


def test_one_that_came_back_is_missed_as_long_when_it_leaves_again() -> None:
    found, clock = group(50, 60)
    found.meet(role(50), None, False)
    assert found.confirms(2, role(50, 60))
    clock.now += 2 * ABSENT_S
    found.meet(role(50), None, False)
    assert found.number == 2


def test_a_sentinel_knows_better_which_are_up() -> None:
    found, clock = group(50, believed=2, has_sentinel=True)
    assert found.number == 2
    clock.now += 10 * ABSENT_S
    found.meet(role(50), None, True)
    assert found.number == 2, "no sentinel answers: nobody knows whether it was promoted"
    found.meet(role(50), 1, True)
    assert found.number == 1
    found.meet(role(50), 0, True)
    assert found.number == 1


def test_the_disk_does_not_confirm_once_there_is_a_replica() -> None:
    disk = Disk(100)
    assert disk.confirms([1, 0], role())
    assert not disk.confirms([0, 0], role())
    assert not disk.confirms([1, 0], role(0))
