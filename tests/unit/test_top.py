"""distq top without a broker: rates, order, keys, and a screen that fits whatever is in it."""

from __future__ import annotations

import pytest
from rich.console import Console

from distq.broker.inspect import DeadLetter
from distq.broker.ledger import Tally
from distq.broker.verbs import Depths
from distq.cli.top.draw import Place, printed, screen
from distq.cli.top.numbers import News, Story
from distq.cli.top.panes import DEAD, PANES, QUEUES, TYPES, WORKERS, Pane, age, count, rate, took
from distq.cli.top.view import Act, View, keys
from distq.controls import Pause, moment
from distq.facts import DeadGroup
from distq.overview import Held, Host, Overview, Worker
from distq.run_times import RunTimes

HOSTILE = "\x1b[2Jred\r\n" + "長" * 60
PLACE = Place("shop", "redis://localhost:6379/0")


def news(second: float, counts: dict[str, dict[str, int]], paused: tuple[Pause, ...] = ()) -> News:
    """A look at queues in which this has happened so far."""
    depths = Depths(1, 20_000, 0, 3, 2, 1, 20_006, 0, 4)
    died_at_ms = round(second * 1000) - 5000
    letter = DeadLetter("x.1", "mail", "email", "Timeout", HOSTILE, 3, died_at_ms, 0, "shop.py:3 in send")
    hosts = [
        Host(f"host-{number}", {"distq": "1.0"}, {
            f"host-{number}-1:{pid}:abc": Worker(f"host-{number}-1:{pid}:abc", 9000, pid, [
                Held("default", f"default.{pid:020d}", "resize")] * min(pid, 3))
            for pid in range(3)
        })
        for number in range(8)
    ]  # fmt: skip
    now = Overview(
        round(second * 1000), {queue: Tally(depths, each) for queue, each in counts.items()},
        {"default": round(second * 1000) - 90_000}, hosts, list(paused), [],
    )  # fmt: skip
    runs = RunTimes((80, 0, 0), (0, 0, 40, 40, *[0] * 12), 2.0)
    return News(now, [DeadGroup(letter, 7)], True, {"resize": runs})


@pytest.fixture
def story() -> Story:
    story = Story()
    for second in range(30):
        done = {"enqueued resize": 100 * second, "completed resize": 80 * second, "dead resize": second // 10}
        story.add(news(1000 + second, {"default": done, "mail": {"enqueued email": 5}, HOSTILE[:70]: {}}))
    return story


def lines(story: Story, view: View, width: int, height: int, place: Place = PLACE) -> list[str]:
    console = Console(width=width, height=height, highlight=False, color_system=None)
    with console.capture() as captured:
        console.print(screen(story, view, place, width, height), height=height)
    return captured.get().removesuffix("\n").split("\n")


def test_rates_are_those_of_the_last_looks(story: Story) -> None:
    row = {queue.name: queue for queue in story.queues()}
    assert (row["default"].came, round(row["default"].ended, 1), row["mail"].came) == (100, 80.1, 0)
    assert row["default"].oldest_s == 90
    [resize] = [type for type in story.types() if type.name == "resize"]
    assert (resize.completed, resize.total) == (80, 80 * 29)
    assert [round(seconds, 4) for seconds in (resize.p50_s, resize.p95_s, resize.p99_s)] == [0.025, 0.0475, 0.0495]
    assert 0 < (story.sums().failing or 0) < 0.01


def test_a_queue_that_is_new_and_a_broker_that_is_another_are_no_bursts(story: Story) -> None:
    done = {"enqueued resize": 3000, "completed resize": 2400, "dead resize": 2}
    story.add(news(1030, {"default": done, "mail": {"enqueued email": 5}, "old": {"completed a": 9}}))
    assert {queue.name: queue.ended for queue in story.queues()}["old"] == 0
    assert max(story.ended) < 100
    story.add(news(1031, {"default": {"enqueued resize": 1}}))
    assert [queue.came for queue in story.queues()] == [0]


def test_a_clock_that_is_set_back_does_not_stop_it(story: Story) -> None:
    for second in range(3):
        story.add(news(500 + second, {"default": {"enqueued resize": 3000 + 10 * second, "completed new": 5000}}))
    assert [queue.came for queue in story.queues()] == [10]
    assert "new" in {type.name for type in story.types()}


@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 12), (100, 50), (200, 60), (20, 6)])
@pytest.mark.parametrize("pane", PANES, ids=lambda pane: pane.name)
def test_the_screen_is_as_large_as_the_terminal_and_harmless(story: Story, pane: Pane, width: int, height: int) -> None:
    view = View()
    view.press(str(PANES.index(pane) + 1), story)
    shown = lines(story, view, width, height)
    assert len(shown) == height
    assert not any("\x1b" in line or "\r" in line for line in shown)
    console = Console(width=width)
    assert max(console.measure(line).maximum for line in shown) <= width


def test_what_80_columns_say(story: Story) -> None:
    view = View()
    shown = "\n".join(lines(story, view, 80, 24))
    for word in (
        "shop",
        "waiting 60,003",
        "24 workers on 8 hosts",
        "[1] queues",
        "[2] types",
        "default",
        "20,000",
        "90s",
        "p95",
        "48ms",
    ):
        assert word in shown, shown
    view.press("4", story)
    assert "Timeout" in "\n".join(lines(story, view, 80, 24))
    view.press("3", story)
    assert "resize ×2" in "\n".join(lines(story, view, 80, 24))
    wide = "\n".join(lines(story, view, 200, 50))
    assert all(f"[{number}] {pane.name}" in wide for number, pane in enumerate(PANES, 1))


def test_a_narrow_terminal_leaves_columns_out_rather_than_names_and_what_matters(story: Story) -> None:
    name = "reports.of_the_whole_year"
    story.add(news(1030, {name: {f"completed {name}": 1}}))
    shown = lines(story, View(), 60, 16)
    assert shown[1].rstrip().endswith("  24 workers")
    assert "dead 1" in shown[1]
    assert "q  quit" in shown[-1]
    assert any(line.startswith(name) for line in shown), shown
    narrow = lines(story, View(), 40, 16)
    assert [line.split() for line in narrow if "dead" in line] == [
        ["queue▴", "high", "default", "low", "dead", "oldest"], ["type", "done/s▾", "dead/s", "p95"],
    ]  # fmt: skip


def test_the_printed_page_has_all_rows(story: Story) -> None:
    text = printed(story, "shop", "redis://x", 120)
    assert all(pane.name in text for pane in PANES)
    assert text.count("host-") >= 24
    assert "\x1b" not in text


def test_a_broker_that_is_away_is_told_and_the_last_numbers_stay(story: Story) -> None:
    shown = lines(story, View(), 80, 24, PLACE._replace(away="no broker at redis://x"))
    assert "the broker is away: no broker at redis://x" in shown[1]
    assert "20,000" in "\n".join(shown)
    assert "away" in "\n".join(lines(Story(), View(), 80, 24, PLACE._replace(away="no broker")))


def test_keys_are_read_one_by_one() -> None:
    assert keys(b"\x1b[A\x1bOBq\t\x1b[Z\x1b[5~p\x1b\xff") == ["up", "down", "q", "tab", "back", "page up", "p", "\x1b"]


def test_keys_turn_sort_and_choose(story: Story) -> None:
    view = View()
    assert view.focus is QUEUES
    view.press("back", story)
    assert (view.focus, view.below) == (DEAD, DEAD)
    view.press("tab", story)
    view.press("s", story)
    assert view.sorting["queues"] == ("high", False)
    view.press("S", story)
    view.press("r", story)
    names = [row.name for row in view.rows(QUEUES, story)[0]]
    assert names == sorted(names, reverse=True)
    view.press("end", story)
    assert view.rows(QUEUES, story)[1] == len(names) - 1
    view.press("r", story)
    assert view.rows(QUEUES, story)[1] == 0, "the same queue is chosen wherever it stands"
    for key in ("3", "down", "page down", "up"):
        view.press(key, story)
    assert view.rows(WORKERS, story)[1] > 0


def test_nothing_is_changed_without_a_yes(story: Story) -> None:
    view = View()
    assert view.press("p", story) is None
    assert view.question == Act("pause", queue=HOSTILE[:70])
    assert "[y/N]" in lines(story, view, 80, 24)[-1]
    assert view.press("enter", story) is None
    assert view.said == "nothing was changed"
    paused = Pause("default", "resize", None, "ann", moment(0))
    story.add(news(1031, {"default": {"enqueued resize": 3000}}, (paused,)))
    view.press("2", story)
    assert "resize paused" in "\n".join(lines(story, view, 80, 24))
    view.press("p", story)
    assert view.press("y", story) == Act("resume", type="resize")
    view.press("4", story)
    view.press("R", story)
    assert view.press("y", story) == Act("replay", type="email", error="Timeout", frame="shop.py:3 in send")
    for key, pane in (("p", WORKERS), ("R", TYPES)):
        view.focus = pane
        view.press(key, story)
        assert view.said or view.question


def test_numbers_fit_into_columns() -> None:
    assert [count(n) for n in (0, 99_999, 123_456, 12_345_678)] == ["0", "99,999", "123k", "12.3M"]
    assert [rate(n) for n in (0, 0.3, 12.3, 123_456)] == ["0", "0.3", "12", "123k"]
    assert [took(n) for n in (0, 0.0004, 0.0123, 0.5, 61)] == ["–", "<1ms", "12ms", "0.5s", "61s"]
    assert [age(n) for n in (0, 0.42, 59, 150, 7300, 90_000, 200_000)] == ["–", "0.4s", "59s", "2m", "2h", "25h", "2d"]
