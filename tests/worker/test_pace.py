"""Adaptive fetch: a worker takes what it can start within 10 ms."""

from __future__ import annotations

import sys
from itertools import pairwise
from threading import Event, Thread

from distq.worker.loop import Loop
from distq.worker.pace import MOST, WINDOW_S, Pace


def learned(seconds_each: float, rounds: int = 30) -> Pace:
    """A pace after many batches of tasks of one type that take this long."""
    pace = Pace()
    for _ in range(rounds):
        count = pace.want()
        pace.note({"job"}, count, count * seconds_each)
    return pace


def test_the_first_task_comes_alone() -> None:
    assert Pace().want() == 1


def test_quick_tasks_are_fetched_in_batches_that_at_most_double() -> None:
    pace, wants = Pace(), []
    for _ in range(40):
        wants.append(pace.want())
        pace.note({"job"}, wants[-1], wants[-1] * 0.000_01)
    assert wants[-1] == MOST
    assert all(later <= 2 * earlier for earlier, later in pairwise(wants))


def test_a_batch_is_what_fits_into_the_window() -> None:
    assert learned(0.001).want() in (9, 10)
    assert learned(0.004).want() == 2
    assert learned(0.006).want() == 1
    assert learned(3600).want() == 1


def test_one_slow_batch_is_believed_at_once_and_quick_ones_step_by_step() -> None:
    pace = learned(0.000_01)
    pace.note({"job"}, 1, 1.0)
    assert pace.want() == 1
    pace.note({"job"}, 1, 0.000_01)
    assert pace.want() == 1, "one quick task after a slow one proves nothing"
    for _ in range(40):
        count = pace.want()
        pace.note({"job"}, count, count * 0.000_01)
    assert pace.want() == MOST


def test_a_type_that_never_ran_here_makes_the_next_fetch_careful() -> None:
    pace = learned(0.000_01)
    assert pace.is_new("other")
    pace.note({"job", "other"}, MOST, 0.001)
    assert not pace.is_new("other")
    assert pace.want() <= 2


def test_a_batch_of_which_nothing_ran_teaches_nothing() -> None:
    pace = learned(0.001)
    before = pace.want()
    pace.note(set(), 0, 5.0)
    assert pace.want() == before


def test_tasks_that_take_no_measurable_time_do_not_break_the_sum() -> None:
    pace = Pace()
    for _ in range(300):
        pace.note({"job"}, pace.want(), 0.0)
    assert pace.want() == MOST
    pace.note({"job"}, 1, WINDOW_S * 2)
    assert pace.want() == 1


def test_several_threads_have_so_many_waiting_as_they_start_in_10_ms() -> None:
    pace = Pace()
    for _ in range(20):
        pace.note({"job"}, 64, 64 * 0.001)
    assert 100 <= pace.ahead(16) <= MOST, "16 threads start 160 tasks of 1 ms in 10 ms, and a batch has an end"
    for _ in range(20):
        pace.note({"job"}, 16, 16 * 0.1)
    assert pace.ahead(16) == 1
    assert pace.ahead(2) == 0, "each starts at once, or waits in the broker for whoever is free first"


def test_a_new_type_is_met_with_little_waiting() -> None:
    pace = Pace()
    for _ in range(20):
        pace.note({"job"}, 64, 64 * 0.001)
    pace.note({"other"}, 64, 64 * 0.001)
    assert pace.ahead(16) == 2


def test_coroutines_end_while_it_is_counted_who_is_held_up() -> None:
    """Another thread counts: if that could fail, all coroutines of the process would be given back."""
    loop = Loop.__new__(Loop)
    loop._pace, loop._since = Pace(), dict.fromkeys(range(200), 1)
    counted = Event()

    def ends_and_begins() -> None:
        while not counted.is_set():
            for seat in list(loop._since):
                del loop._since[seat]
                if seat % 2:
                    loop._since[seat] = 1
            loop._since.update(dict.fromkeys(range(200), 1))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = Thread(target=ends_and_begins)
    thread.start()
    try:
        assert all(loop._held_up() <= 200 for _ in range(2000))
    finally:
        counted.set()
        sys.setswitchinterval(interval)
        thread.join()
