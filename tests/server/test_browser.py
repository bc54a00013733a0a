"""The dashboard in a real browser, with a real server and real workers. One browser for all tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.server.conftest import ADMIN, READ, Work
from tests.support.eventually import eventually
from tests.support.web import Web

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PROGRAM = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
SLOW_MS = 20_000
"""Nothing takes so long but what hangs."""
expect.set_options(SLOW_MS)

HOSTILE = '<img src=x onerror="window.hacked=1">\'"><svg/onload=hacked()></script>{{7*7}}\u2028\u202e\x1b[31mred'

pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="NO BROWSER: THE DASHBOARD IS NOT TESTED; install chromium (make browser)"
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Its loop runs in this thread: it must be gone when a test of another module begins one of its own."""
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=options)
        yield browser
        browser.close()


class Tab:
    """A tab of somebody who signs in with a key. It notes what a page must not do."""

    def __init__(self, browser: Browser, web: Web) -> None:
        self.origin = f"http://127.0.0.1:{web.port}"
        self.context = browser.new_context(base_url=self.origin)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(SLOW_MS)
        self.complaints: list[str] = []
        self.page.on("console", lambda said: self._note(said.text) if said.type in {"error", "warning"} else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda sent: self._check(sent.url))

    def _note(self, text: str) -> None:
        self.complaints.append(text)

    def _check(self, url: str) -> None:
        if f"{urlsplit(url).scheme}://{urlsplit(url).netloc}" != self.origin:
            self.complaints.append(f"it asks {url}")

    def sign_in(self, key: str) -> Page:
        self.page.goto("/")
        self.page.get_by_label("API key").fill(key)
        self.page.keyboard.press("Enter")
        expect(self.page.get_by_text("Live", exact=True)).to_be_visible()
        return self.page


@pytest.fixture
def tab(chromium: Browser, web: Web) -> Iterator[Tab]:
    tab = Tab(chromium, web)
    yield tab
    tab.context.close()
    assert tab.complaints == []


def test_each_page_shows_what_there_is_and_hostile_text_stays_text(tab: Tab, web: Web, work: Work) -> None:
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
    for address, text in (
        ("tasks?q=state:dead", dead),
        ("dead", "ValueError"),
        ("queues", "Nothing is paused"),
        ("schedules", "hourly"),
        ("schedules/hourly", "Next five"),
        ("workers", "1 host, 1 process"),
        ("enqueue/hold", "Runs until a file of this name exists."),
        (f"task/{dead}", "Traceback"),
        ("task/%3Cimg%20src=x%20onerror=hacked()%3E", "Try again"),
        ("tasks?q=type:<img/src=x/onerror=hacked()>", "No task fits"),
    ):
        page.goto(f"/#/{address}")
        expect(page.get_by_text(text).first).to_be_visible()
        if address.startswith("task/%3C"):
            tab.complaints = [said for said in tab.complaints if "400" not in said and "404" not in said]
    page.goto(f"/#/task/{dead}")
    expect(page.get_by_text("<img src=x onerror=").first).to_be_visible()
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
    dead = web.task("fail", text="no")
    page = tab.sign_in(ADMIN)
    press = page.keyboard.press
    expect(page.get_by_role("heading", name="What died of what")).to_be_visible()
    press("/")
    expect(page.get_by_label("Search tasks")).to_be_focused()
    page.keyboard.type("state:dead type:fail")
    press("Enter")
    expect(page.get_by_role("link", name=dead)).to_be_visible()
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


def test_what_people_do_is_done(tab: Tab, web: Web, work: Work, tmp_path: Path) -> None:
    work()
    page = tab.sign_in(ADMIN)

    def press(name: str, **where: str) -> None:
        place = page.get_by_role("row", name=where["row"]) if where else page
        place.get_by_role("button", name=name, exact=True).first.click()

    page.goto("/#/enqueue/add")
    page.locator("[name=a]").fill("20")
    page.locator("[name=b]").fill("22")
    press("Enqueue")
    expect(page.locator("h1 .state")).to_have_text("completed")
    expect(page.get_by_text("42", exact=True)).to_be_visible()

    page.goto("/#/queues")
    press("Pause", row="mail")
    expect(page.get_by_text("paused", exact=True)).to_be_visible()
    web.task("fail", text="no")
    press("Purge", row="mail")
    box = page.get_by_role("dialog")
    expect(box.get_by_role("button", name="Purge")).to_be_disabled()
    box.get_by_label("Type mail to confirm").fill("mail")
    box.get_by_role("button", name="Purge").click()
    expect(page.get_by_text("1 task cancelled.")).to_be_visible()
    press("Resume", row="mail")
    expect(page.get_by_text("Nothing is paused")).to_be_visible()
    press("Set a limit")
    box.get_by_label("Type").select_option("add")
    box.get_by_label("Rate").fill("fast")
    box.get_by_role("button", name="Set").click()
    expect(box.get_by_role("alert")).to_contain_text("fast")
    tab.complaints = [said for said in tab.complaints if "400" not in said]
    box.get_by_label("Rate").fill("50/s")
    box.get_by_role("button", name="Set").click()
    limit = page.get_by_role("row", name="API key boss")
    expect(limit).to_contain_text("50/s")
    press("Clear")
    expect(limit).to_have_count(0)

    page.goto("/#/schedules")
    press("Trigger")
    expect(page.get_by_text("was enqueued")).to_be_visible()
    web.task("fail", text="no")
    eventually(lambda: web.get("/api/v1/dead").json["dead"], "it has died")
    page.goto("/#/dead")
    expect(page.get_by_role("row", name="apps/web.py")).to_contain_text("ValueError: no")
    press("Replay", row="apps/web.py")
    box.get_by_label("How quickly").fill("10/s")
    box.get_by_role("button", name="Replay").click()
    expect(page.get_by_text("1 task will run again.")).to_be_visible()
    page.goto("/#/workers")
    press("Quiet")
    expect(page.get_by_text("It takes no more tasks.")).to_be_visible()
