"""A short form of `python -m tests.chaos --holders 50`; and its account, which must notice what is wrong."""

from __future__ import annotations

from collections import Counter

from tests.chaos.holders import Account, holders


def test_the_only_place_is_never_taken_twice_and_free_again_whoever_is_killed() -> None:
    account = holders(4, seed=1)
    assert account.problems() == [], account
    assert account.kills == {"process": 2, "host": 2}


def test_what_is_wrong_is_noticed() -> None:
    together = Account(starts={1: 1.0, 2: 2.0}, over={1: 2.1, 2: 3.0})
    assert together.problems() == ["two at once: fences (1, 2)"]
    assert Account(starts={1: 1.0, 2: 2.0}, over={1: 1.9, 2: 3.0}).problems() == []
    assert Account(Counter(host=1), free_s={"host": [0.5, 60.0]}, left=1).problems() == [
        "host: the place was free after 60.00 s, the lease is 2 s",
        "1 have not ended",
    ]
