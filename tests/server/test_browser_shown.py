"""What the dashboard shows in a real browser, of tasks and workers that are as hostile as they can be, on a phone, and
to screen readers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ViewportSize, expect

from distq.broker import keys
from tests.server.conftest import ADMIN, OPERATE, READ, Shop
from tests.support.apps.shown import HOSTILE, LONG, WORD
from tests.support.eventually import eventually
from tests.support.room import Room
from tests.support.tab import NEEDS_BROWSER, Tab

pytestmark = NEEDS_BROWSER

PHONE: ViewportSize = {"width": 400, "height": 800}
DESK: ViewportSize = {"width": 1280, "height": 800}
SUPPORT = Path(__file__).parents[1] / "support"
MARK = "{{7*7}}"
"""Stands in each hostile text, and would be 49 in templates."""
ID = "<img/src=x/onerror=hacked()>'\"\u202e{{7*7}}"

WRONG, COUNTED = ((SUPPORT / "pages" / name).read_text() for name in ("wrong.js", "counted.js"))


@pytest.fixture(scope="module")
def ids(shop: Shop) -> Iterator[dict[str, str]]:
    """Hostile tasks in each state, by that; and all else that somebody else has named."""
    web, gate = shop.web, str(shop.folder / "gate")
    headers = {HOSTILE: WORD, "schedule": HOSTILE}

    def made(args: list[Any], kwargs: dict[str, Any], **options: Any) -> str:
        answer = web.post(
            "/api/v1/tasks", {"type": LONG, "args": args, "kwargs": kwargs, "headers": headers, **options}
        )
        assert answer.status == 201, answer
        return str(answer.json["id"])

    found = {"dead": made([HOSTILE], {}), "completed": made([HOSTILE + WORD], {HOSTILE: WORD})}
    for state, id in found.items():
        shop.await_state(id, state)
    found["running"] = made([HOSTILE, MARK, gate], {HOSTILE: WORD})
    eventually(
        lambda: HOSTILE in web.get(f"/api/v1/tasks/{found['running']}").json.get("progress", {"text": ""})["text"],
        "it says how far it is",
    )
    reason = "".join(filter(str.isprintable, HOSTILE + WORD))[:500]  # others are refused
    for pause in ({"queue": "mail"}, {"type": "turn", "key": HOSTILE}):
        assert web.post("/api/v1/pauses", {**pause, "reason": reason}).status == 200
    found["queued"] = made([HOSTILE], {HOSTILE: {WORD: [HOSTILE]}}, id=ID)
    found["scheduled"] = made([HOSTILE], {}, delay=3600)
    schedule = {"name": LONG, "when": "@every 1h", "type": LONG, "kwargs": {"text": HOSTILE, HOSTILE: WORD}}
    assert web.post("/api/v1/schedules", schedule).status == 201
    assert web.ask("PATCH", f"/api/v1/limits/{LONG}", {"rate": "50/s"}).status == 200
    other = Room(shop.room.url, queue="other")  # our worker takes nothing of it
    other.redis.sadd(keys.KNOWN_QUEUES, keys.known_queue(other.app, other.queue))
    worker = other.register(host=HOSTILE + WORD[:100], lease_ms=600_000)
    about = {"pid": HOSTILE, "distq": WORD}
    other.redis.hset(other.key("WORKER", worker.name), "info", json.dumps(about))
    found["held"] = other.enqueue("job", id="held")
    other.hold(worker, "held")
    shop.room.enqueue(HOSTILE, id="unknown")
    yield found
    other.close()
    Path(gate).touch()
    shop.room.redis.flushall()


@pytest.fixture(scope="module")
def signed_in(chromium: Browser, shop: Shop, ids: dict[str, str]) -> Iterator[Tab]:
    tab = Tab(chromium, shop.web)
    tab.sign_in(ADMIN)
    yield tab
    tab.close()


@pytest.fixture
def tab(signed_in: Tab) -> Iterator[Tab]:
    yield signed_in
    signed_in.leave()


def pages(ids: dict[str, str]) -> dict[str, str]:
    """Each page, and what of its text comes from a task or a worker."""
    return {
        "overview": MARK,
        "tasks": MARK,
        f"tasks?q=state:dead type:{LONG}": MARK,
        **{f"task/{id.replace('%', '%25')}": MARK for id in ids.values()},
        "task/unknown": MARK,
        "dead": MARK,
        "queues": MARK,
        "schedules": LONG,
        f"schedules/{LONG}": MARK,
        "workers": MARK,
        f"enqueue/{LONG}": MARK,
        "actions": MARK,
    }


def test_hostile_text_stays_text_and_in_its_place_on_each_page(tab: Tab, ids: dict[str, str]) -> None:
    wrong: dict[str, list[str]] = {}
    for address, told in pages(ids).items():
        for size in (PHONE, DESK):
            tab.page.set_viewport_size(size)
            tab.open(address)
            expect(tab.page.get_by_role("main")).to_contain_text(told)
            if found := tab.page.evaluate(WRONG):
                wrong[f"{address:.40} at {size['width']}"] = found
    assert wrong == {}


def test_what_looks_for_the_hostile_finds_it(tab: Tab) -> None:
    tab.open("actions")
    tab.is_told("What was done here")
    tab.page.set_viewport_size(PHONE)
    tab.page.evaluate("""() => {
        for (const name of ["i", "img"]) document.querySelector("main").append(document.createElement(name));
        document.querySelector("main").append("one \\u202eand two");
        document.querySelector("main").lastElementChild.style.minWidth = "500px";
    }""")
    found = tab.page.evaluate(WRONG)
    assert [one.split(" is ")[0] for one in found] == [
        "there",
        "there",
        "IMG has style",
        "HTML null",
        "from right to left: one \u202eand two",
    ], found


# -- what screen readers find ------------------------------------------------------------------------------------------

NAMED = "button|checkbox|combobox|dialog|heading|img|link|navigation|region|searchbox|table|textbox"
UNNAMED = re.compile(rf"^ *- (?:{NAMED})\b(?! \")(?! /).*", re.M)
"""A line of a snapshot of the accessibility tree: something that has to have a name, and has none."""


def check(tab: Tab) -> None:
    """What holds on each page and for each dialog."""
    tree = tab.page.locator("body").aria_snapshot()
    assert UNNAMED.findall(tree) == []
    for landmark in ("banner", 'navigation "Pages"', "main", "status"):
        assert len(re.findall(rf"^ *- {landmark}", tree, re.M)) >= 1, landmark
    counted = tab.page.evaluate(COUNTED)
    assert counted == {"titles": 1, "mains": 1, "language": "en", "twice": [], "headless": 0, "ahead": 0}
    assert " · app" in tab.page.title()


BOXES = {
    "tasks?q=state:dead": ["Replay all", "Delete all"],
    "tasks?q=state:scheduled": ["Cancel all"],
    "task/dead": ["Retry with edits", "Delete"],
    "task/running": ["Cancel"],
    "queues": ["Pause a type or key", "Set a limit", "Purge", "Change"],
    "schedules": ["New schedule"],
    f"schedules/{LONG}": ["Edit", "Delete"],
    "workers": ["Stop"],
}
"""Which buttons open a dialog."""


def test_each_page_names_all_that_it_has_for_screen_readers(tab: Tab, ids: dict[str, str]) -> None:
    tab.page.set_viewport_size(DESK)
    for address, told in pages(ids).items():
        tab.open(address)
        expect(tab.page.get_by_role("main")).to_contain_text(told)
        check(tab)


def test_each_dialog_has_a_name_and_labels_takes_the_focus_and_gives_it_back(tab: Tab, ids: dict[str, str]) -> None:
    tab.page.set_viewport_size(PHONE)
    for address, buttons in BOXES.items():
        page, _, id = address.partition("/")
        tab.open(f"{page}/{ids[id].replace('%', '%25')}" if id in ids else address)
        for button in buttons:
            tab.press(button)
            expect(tab.box).to_be_visible()
            assert tab.page.evaluate("document.querySelector('dialog').contains(document.activeElement)")
            check(tab)
            assert tab.page.evaluate(WRONG) == [], f"{button} at {address:.40}"
            tab.page.keyboard.press("Escape")
            expect(tab.box).to_have_count(0)
            assert tab.page.evaluate("document.activeElement.textContent") == button


# -- who is offered what -----------------------------------------------------------------------------------------------

OFFERED = {
    READ: {"Refresh", "Search", "Copy as Python", "Copy as curl", "Copy as CLI", "Copy as Show"},
    OPERATE: {
        "Retry", "Retry with edits", "Run now", "Cancel", "Replay", "Replay all", "Pause", "Resume",
        "Pause a type or key", "Set a limit", "Change", "Clear", "New schedule", "Trigger", "Edit", "Enqueue",
    },
    ADMIN: {"Delete", "Delete all", "Purge", "Cancel all", "Quiet", "Restart", "Stacks", "Stop"},
}  # fmt: skip
"""What the pages offer to each level that they do not offer to those before it."""
DONE = {
    READ: [],
    OPERATE: [
        "POST tasks", "POST tasks/x/retry", "POST tasks/x/reschedule", "POST tasks/x/cancel", "POST dead/replay",
        "POST pauses", "POST pauses/resume", "PATCH limits/add", "DELETE limits/add", "POST schedules",
        "POST schedules/x/trigger", "POST schedules/x/pause", "POST schedules/x/resume", "POST schedules/x/reset",
        "PATCH schedules/x",
    ],
    ADMIN: [
        "DELETE tasks/x", "POST dead/purge", "POST queues/mail/purge", "POST tasks/cancel", "POST workers/x/quiet",
        "POST workers/x/resume", "POST workers/x/restart", "POST workers/x/stacks", "POST workers/x/stop",
        "GET workers/x/stacks", "DELETE schedules/x", "GET actions",
    ],
}  # fmt: skip
"""What these ask the API for."""
ASK = """(all) => Promise.all(all.map(async (one) => {
    const [method, path] = one.split(" ");
    const more = method === "GET" ? {} : { body: "{}", headers: { "Content-Type": "application/json" } };
    return (await fetch(`api/v1/${path}`, { method, ...more })).status;
}))"""


def test_each_level_is_offered_what_it_may_do_and_the_api_refuses_the_rest(
    chromium: Browser, shop: Shop, ids: dict[str, str]
) -> None:
    seen: set[str] = set()
    refused = [one for asked in DONE.values() for one in asked]
    for key, offered in OFFERED.items():
        tab = Tab(chromium, shop.web)
        tab.sign_in(key)
        found: set[str] = set()
        for address in (
            "tasks?q=state:scheduled", "dead", f"task/{ids['dead']}", f"task/{ids['scheduled']}", "queues", "schedules",
            f"schedules/{LONG}", "workers", "enqueue/add",
        ):  # fmt: skip
            tab.open(address)
            expect(tab.page.get_by_text("Loading …")).to_have_count(0)
            names = "all => all.map(one => one.ariaLabel ?? one.textContent)"
            found |= set(tab.page.get_by_role("main").get_by_role("button").evaluate_all(names))
        assert found - seen == offered
        assert found >= seen
        seen = found
        has_actions = tab.page.get_by_role("link", name="Actions").count() == 1
        assert has_actions == (key == ADMIN)
        refused = [one for one in refused if one not in DONE[key]]
        assert set(tab.page.evaluate(ASK, refused)) <= {403}
        tab.forgive("403")
        tab.page.get_by_role("button", name="Sign out").click()
        expect(tab.page.get_by_label("API key")).to_be_focused()
        assert set(tab.page.evaluate(ASK, ["GET tasks", "POST tasks"])) == {401}
        tab.forgive("401")
        tab.close()
