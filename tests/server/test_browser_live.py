"""What the dashboard knows while it is open in a real browser, and who may know it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from distq.server.feed import EVERY_S
from tests.server.conftest import ADMIN, READ, Serve
from tests.support.tab import NEEDS_BROWSER, Tab
from tests.support.web import Web

pytestmark = NEEDS_BROWSER

NOTED = """
window.frames = [];
window.drawn = [];
window.EventSource = class extends EventSource {
	constructor(...all) {
		super(...all);
		this.addEventListener("stats", ({ data }) => frames.push(JSON.parse(data).totals.enqueued));
	}
};
new MutationObserver(() => drawn.push([frames.length, document.querySelector("a.tile b")?.textContent]))
	.observe(document, { subtree: true, childList: true, characterData: true });
"""
"""Notes each frame that comes, and after how many of them the page changed, and what its first tile said then."""
HIDE = """(isHidden) => {
	Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
	document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.fixture
def tab(chromium: Browser, web: Web) -> Iterator[Tab]:
    tab = Tab(chromium, web)
    yield tab
    tab.close()


def waiting(page: Page, number: int) -> None:
    """The overview says that so many tasks wait."""
    expect(page.locator("a.tile").filter(has_text="Waiting").locator("b")).to_have_text(str(number))


def test_what_happens_is_shown_with_the_next_frame_and_one_comes_each_second(tab: Tab, web: Web) -> None:
    """So within two seconds. Seconds are not measured: on a busy machine they would fail for no reason, while a page
    that waits for more than a frame fails here on any."""
    assert EVERY_S <= 1
    tab.page.add_init_script(NOTED)
    page = tab.sign_in(READ)
    waiting(page, 0)
    web.task("add", 1)
    waiting(page, 1)
    known = page.evaluate("frames.findIndex(number => number >= 1) + 1")
    shown = page.evaluate("drawn.find(([, text]) => text === '1')[0]")
    assert shown == known > 0


def test_a_hidden_tab_asks_nothing_and_is_up_to_date_when_it_is_seen_again(tab: Tab, web: Web) -> None:
    page = tab.sign_in(READ)
    other = tab.context.new_page()
    other.goto("/")
    waiting(other, 0)
    page.evaluate(HIDE, True)
    expect(page.get_by_text("Paused", exact=True)).to_be_visible()
    asked: list[str] = []
    page.on("request", lambda sent: asked.append(sent.url))
    for number in (1, 2):  # two frames, at least
        web.task("add", number)
        waiting(other, number)
    waiting(page, 0)
    assert asked == []
    page.evaluate(HIDE, False)
    waiting(page, 2)
    expect(page.get_by_text("Live", exact=True)).to_be_visible()


def test_a_server_that_is_replaced_is_found_again(chromium: Browser, serve: Serve) -> None:
    old = serve()
    tab = Tab(chromium, old)
    page = tab.sign_in(READ)
    waiting(page, 0)
    old.host.terminate()
    expect(page.get_by_text("Reconnecting", exact=True)).to_be_visible()
    new = serve("--port", str(old.port))
    new.task("add", 1)
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    waiting(page, 1)
    tab.forgive("net::ERR")
    tab.close()


def test_only_who_has_a_key_is_let_in_and_only_as_long(tab: Tab, web: Web) -> None:
    page = tab.page
    page.goto("/#/queues")
    for key, said in (("wrong" * 4, "No such key."), ("two words", "This cannot be a key.")):
        page.get_by_label("API key").fill(key)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_have_text(said)
    page.get_by_label("API key").fill(ADMIN)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Queues", exact=True)).to_be_visible()
    page.reload()
    expect(page.get_by_text("boss · admin")).to_be_visible()
    cookies = tab.context.cookies()
    assert [(cookie["httpOnly"], cookie["sameSite"]) for cookie in cookies] == [(True, "Strict")]
    tab.context.clear_cookies()
    page.get_by_role("row", name=re.compile("mail")).get_by_role("button", name="Pause").click()
    expect(page.get_by_role("alert")).to_have_text("The session is over.")
    assert web.get("/api/v1/pauses").json["pauses"] == []
    tab.forgive("401")
