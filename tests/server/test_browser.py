"""The dashboard in a real browser, with a real server and real workers. One browser for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.server.conftest import ADMIN, READ, Serve, Work
from tests.support.eventually import eventually
from tests.support.proxy import Proxy, Refuse
from tests.support.room import Room
from tests.support.tab import NEEDS_BROWSER, Tab
from tests.support.web import Web

HOSTILE = '<img src=x onerror="window.hacked=1">\'"><svg/onload=hacked()></script>{{7*7}}\u2028\u202e\x1b[31mred'

pytestmark = NEEDS_BROWSER


@pytest.fixture
def tab(chromium: Browser, web: Web) -> Iterator[Tab]:
    tab = Tab(chromium, web)
    yield tab
    tab.close()


PAGES = {
    "tasks?q=state:dead": """
      - heading "Tasks" [level=1]
      - button "Replay all"
      - search:
        - combobox "Search tasks": state:dead
      - navigation "By state"
      - region "Tasks":
        - table "Tasks":
          - rowgroup:
            - row "Select all Task Type State Queue Priority Attempt Time"
          - rowgroup:
            - row /^Select mail.* fail text=.* ValueError. <img src=x/
      - paragraph: 1 task shown.
      """,
    "dead": """
      - heading "Dead letters" [level=1]
      - region:
        - table "Dead letters by type, error and place":
          - rowgroup:
            - row "Type Error Number Newest Oldest Actions"
          - rowgroup:
            - row /fail ValueError. <img src=x .*apps.web.py.* in fail 1 .* ago Replay Delete/
      """,
    "queues": """
      - heading "Queues & limits" [level=1]
      - heading "Queues" [level=2]
      - region "Queues":
        - table:
          - rowgroup
          - rowgroup:
            - row "default 0 0 0 0 0 0 1 Pause Purge"
            - row "mail 0 0 0 0 0 1 1 Pause Purge"
      - heading "Pauses" [level=2]
      - text: Nothing is paused
      - heading "Limits" [level=2]
      - region "Limits of types":
        - table:
          - rowgroup
          - rowgroup:
            - row "geo default 50/s, 5/s per key the same Change"
      - heading "Budgets" [level=2]
      - region "Budgets":
        - table:
          - rowgroup
          - rowgroup:
            - row "maps default 10 of 60/m burst 10, 100 of 1000/m burst 100 bytes –"
            - row "model default per key 60/m burst 10 –"
      """,
    "schedules": """
      - region "Schedules":
        - table:
          - rowgroup:
            - row "Schedule Type When State Next Actions"
          - rowgroup:
            - row /hourly hourly @hourly active in .* Trigger Pause/
      """,
    "schedules/hourly": """
      - paragraph:
        - link "Schedules"
      - heading "hourly active" [level=1]
      - heading "Next five" [level=2]
      - list:
        - listitem:
          - time: /^in/
      - heading "What it does" [level=2]
      - term: Calls
      - definition: hourly()
      """,
    "workers": """
      - heading "Workers" [level=1]
      - paragraph: 1 host, 1 process
      - button "Stacks"
      - region:
        - table:
          - rowgroup:
            - row "Process Holds Lease"
      """,
    "enqueue/hold": """
      - heading "Enqueue" [level=1]
      - navigation "Types"
      - heading "hold" [level=2]
      - paragraph: Runs until a file of this name exists.
      - textbox "gate"
      - button "Enqueue"
      """,
    "actions": """
      - heading "Actions" [level=1]
      - text: Nothing was done yet
      """,
    "tasks?q=type:<img/src=x/onerror=hacked()>": """
      - text: No task fits
      """,
    "task/%3Cimg%20src=x%20onerror=hacked()%3E": """
      - alert:
        - button "Try again"
      """,
    "nowhere": """
      - heading "Overview" [level=1]
      """,
}
"""What a screen reader finds on each page, as far as it is told here."""

OUT_OF_SIGHT = """
    [...document.querySelectorAll("main button, main input, main textarea, main a, main td")]
        .filter((one) => one.getBoundingClientRect().right > innerWidth).map((one) => one.textContent)
"""


def test_each_page_tells_what_there_is_and_hostile_text_stays_text(tab: Tab, web: Web, work: Work) -> None:
    work()
    dead = web.task("fail", HOSTILE)
    web.task("echo", {HOSTILE: HOSTILE}, **{"<b>x</b>": HOSTILE})
    page = tab.sign_in(ADMIN)
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    expect(page.get_by_text("{{7*7}}").first).to_be_visible()
    page.get_by_role("link", name="7 d").click()
    expect(page.get_by_role("link", name="7 d")).to_have_attribute("aria-current", "true")
    page.get_by_text("As a table").first.click()
    expect(page.get_by_role("columnheader", name="came in /s")).to_be_visible()
    for address, tells in PAGES.items():
        page.goto(f"/#/{address}")
        expect(page.get_by_role("main")).to_match_aria_snapshot(tells)
        if address.startswith("task/%3C"):
            tab.forgive("400")
        page.set_viewport_size({"width": 400, "height": 860})
        assert page.evaluate(OUT_OF_SIGHT) == [], f"on a phone: {address}"
        page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(f"/#/task/{dead}")
    expect(page.get_by_text("Traceback").first).to_be_visible()
    expect(page.get_by_text("<img src=x onerror=").first).to_be_visible()
    assert web.post("/api/v1/pauses", {"type": "hold", "reason": HOSTILE.replace("\x1b", "")}).status == 200
    for address in ("queues", "actions"):
        page.goto(f"/#/{address}")
        expect(page.get_by_text("{{7*7}}").first).to_be_visible()
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img, main script, main b b, svg[onload]").count() == 0


def test_numbers_live_on_without_a_reload_and_a_reader_only_looks(tab: Tab, web: Web) -> None:
    page = tab.sign_in(READ)
    waiting = page.locator("a.tile").filter(has_text="Waiting").locator("b")
    expect(waiting).to_have_text("0")
    dead = web.task("add", 1)
    expect(waiting).to_have_text("1")
    page.goto(f"/#/task/{dead}")
    expect(page.get_by_text("no worker", exact=False).first).to_be_visible()
    assert page.get_by_role("button", name="Cancel").count() == 0
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_focused()
    assert tab.context.cookies() == []
    web.post(f"/api/v1/tasks/{dead}/cancel")


def test_by_keyboard_alone_the_failed_task_is_found_edited_and_retried(tab: Tab, web: Web, work: Work) -> None:
    work()
    web.task("fail", text="no")
    page = tab.sign_in(ADMIN)
    press = page.keyboard.press
    expect(page.get_by_role("heading", name="What died of what")).to_be_visible()
    press("/")
    expect(page.get_by_label("Search tasks")).to_be_focused()
    page.keyboard.type("state:dead type:fail")
    web.task("echo", "new")
    expect(page.get_by_text("came in")).to_be_visible()  # so the page has been drawn again since
    press("Enter")
    page.wait_for_url("**/#/tasks?q=state*")
    expect(page.get_by_text("1 task shown.")).to_be_visible()
    press("j")
    press("Enter")
    expect(page.get_by_role("button", name="Retry with edits")).to_be_visible()
    for _ in range(20):
        press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Retry with edits":
            break
    press("Enter")
    page.get_by_label("Keyword arguments").focus()
    press("Control+a")
    page.keyboard.type('{"text": "well"}')
    press("Tab")
    press("Tab")
    press("Enter")
    expect(page.locator("h1 .state")).to_have_text("completed")
    expect(page.get_by_text('"done"')).to_be_visible()
    press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    press("Escape")
    press("g")
    press("q")
    expect(page.get_by_role("heading", name="Queues & limits")).to_be_visible()


def test_the_newest_of_a_group_is_tried_before_the_others_follow(tab: Tab, web: Web, work: Work) -> None:
    work()
    page = tab.sign_in(ADMIN)
    box = tab.box
    for kind in ("ValueError", "ValueError", "LookupError"):
        web.task("fail", text="no", kind=kind)
    eventually(lambda: len(web.get("/api/v1/dead").json["dead"]) == 3, "they have died")
    tab.open("dead")
    tab.press("Replay", row="ValueError: no")
    expect(box.get_by_text("fail, ValueError: each gets fresh attempts.")).to_be_visible()
    box.get_by_label("How many").select_option("1")
    box.get_by_role("button", name="Replay").click()
    expect(box.get_by_text("The one tried has died again: ValueError.")).to_be_visible()
    box.get_by_label("How quickly").fill("10/s")
    box.get_by_role("button", name="Replay").click()
    expect(page.get_by_text("2 tasks will run again.")).to_be_visible()


def test_rows_are_selected_by_keys_stacks_are_shown_and_actions_are_noted(tab: Tab, web: Web, work: Work) -> None:
    work()
    for number in range(3):
        web.post("/api/v1/tasks", {"type": "add", "args": [number], "delay": 3600})
    page = tab.sign_in(ADMIN)
    tab.open("tasks?q=state:scheduled type:add since:1h")
    tab.is_told("3 tasks shown.")
    for key in "jxjx":
        page.keyboard.press(key)
    tab.press("Cancel 2")
    tab.answer("Cancel them")
    tab.is_told("2 of 2 tasks cancelled")
    tab.open("workers")
    tab.press("Stacks")
    tab.is_told("thread MainThread")
    tab.open("actions")
    expect(page.get_by_role("row", name="boss").filter(has_text="/stacks")).to_be_visible()
    tab.is_told('{"running":true}')


def test_a_broker_that_is_away_is_told_and_what_was_there_stays(chromium: Browser, serve: Serve, room: Room) -> None:
    with Proxy(room.url) as proxy:
        tab = Tab(chromium, serve(broker=proxy.url))
        page = tab.sign_in(READ)
        expect(page.get_by_role("heading", name="Queues")).to_be_visible()
        with proxy.fault(Refuse()):
            proxy.cut()
            expect(page.get_by_text("Broker away", exact=True)).to_be_visible()
            expect(page.get_by_text("What you see is as it was.")).to_be_visible()
            expect(page.get_by_role("heading", name="Queues")).to_be_visible()
        expect(page.get_by_text("Live", exact=True)).to_be_visible()
        expect(page.get_by_role("alert")).to_have_count(0)
        tab.forgive("503")
        tab.close()
