"""A tab of a real browser: whoever signs in there, and what its page must never do."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tests.support.web import Web

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PROGRAM = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
NEEDS_BROWSER = pytest.mark.skipif(
    PROGRAM is None, reason="NO BROWSER: THE DASHBOARD IS NOT TESTED; install chromium (make browser)"
)
SLOW_MS = 20_000
"""Nothing takes so long but what hangs."""
expect.set_options(SLOW_MS)


@contextmanager
def running() -> Iterator[Browser]:
    """The browser. Its loop runs in this thread: nobody else can begin one before it ends."""
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=options)
        yield browser
        browser.close()


class Tab:
    """A tab of somebody who signs in with a key.

    It notes what a page must not do: complain in the console, or ask another origin.
    """

    def __init__(self, browser: Browser, web: Web) -> None:
        self.origin = f"http://127.0.0.1:{web.port}"
        self.context = browser.new_context(base_url=self.origin)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(SLOW_MS)
        self._complaints: list[str] = []
        self._forgiven: list[str] = []
        self.page.on("console", lambda said: self._note(said.text) if said.type in {"error", "warning"} else None)
        self.page.on("pageerror", lambda error: self._note(str(error)))
        self.page.on("request", lambda sent: self._look(sent.url))

    def _note(self, text: str) -> None:
        self._complaints.append(text)

    def forgive(self, status: str) -> None:
        """An answer that was wanted, or none: the browser complains of it."""
        self._forgiven.append(f"status of {status}" if status.isdigit() else status)

    def _look(self, url: str) -> None:
        if url != "about:blank" and f"{urlsplit(url).scheme}://{urlsplit(url).netloc}" != self.origin:
            self._note(f"it asks {url}")

    def leave(self) -> None:
        """The page of a test is over, with its dialogs. It must not have complained."""
        self.page.goto("about:blank")
        wrong = [said for said in self._complaints if not any(text in said for text in self._forgiven)]
        self._complaints, self._forgiven = [], []
        assert not wrong, wrong

    def sign_in(self, key: str) -> Page:
        self.page.goto("/")
        self.page.get_by_label("API key").fill(key)
        self.page.keyboard.press("Enter")
        expect(self.page.get_by_text("Live", exact=True)).to_be_visible()
        return self.page

    def close(self) -> None:
        """The same, and nobody comes back."""
        self.leave()
        self.context.close()

    # -- what people do ----------------------------------------------------------------------------------------------

    def open(self, address: str) -> None:
        """The page at this place of the menu, or below."""
        self.page.goto(f"/#/{address}")

    @property
    def box(self) -> Locator:
        """The dialog."""
        return self.page.get_by_role("dialog")

    def press(self, name: str, row: str | None = None) -> None:
        """A button of the page, or of a row of a table."""
        place = self.page.get_by_role("main") if row is None else self.page.get_by_role("row", name=row)
        button = place.get_by_role("button", name=name, exact=True).first
        expect(button).to_be_visible()  # else it shows what is there instead
        button.click()

    def answer(self, submit: str, **fields: str) -> None:
        """Fills in the dialog, by the names of its fields, and sends it."""
        for name, value in fields.items():
            place = self.box.locator(f"[name={name}]")
            if place.evaluate("field => field.tagName") == "SELECT":
                place.select_option(value)
            else:
                place.fill(value)
        self.box.get_by_role("button", name=submit, exact=True).click()

    def is_told(self, text: str | re.Pattern[str]) -> None:
        """It comes to say this."""
        expect(self.page.get_by_text(text).first).to_be_visible()

    def is_in_state(self, word: str) -> None:
        """The page of a task says that it is in this state."""
        expect(self.page.locator("h1 .state")).to_have_text(word)
