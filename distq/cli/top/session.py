"""The live view: keys, news and signals come in, one after the other, and after each the screen is drawn."""

from __future__ import annotations

import queue
import signal
from typing import TYPE_CHECKING

from distq.cli.top.draw import Place, screen
from distq.cli.top.numbers import News, Story
from distq.cli.top.reader import Reader
from distq.cli.top.terminal import Terminal
from distq.cli.top.view import View, keys

if TYPE_CHECKING:
    from distq.app import Distq

ENDS = {signal.SIGINT: 0, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGQUIT: 131}
"""What ends it, and with which exit code."""


class Session:
    """From the first screen to the last. It waits for one thing only: the next key, signal or look."""

    def __init__(self, app: Distq, every_s: float) -> None:
        self._terminal = Terminal()
        self._news: queue.SimpleQueue[News | BaseException | str] = queue.SimpleQueue()
        self._reader = Reader(app, every_s, self._tell)
        self._story, self._view = Story(), View()
        self._place = Place(app.name, app.broker.masked_url)

    def run(self) -> int:
        """Until somebody ends it; the exit code."""
        with self._terminal:
            self._reader.start()
            while True:
                self._terminal.show(screen(self._story, self._view, self._place, *self._terminal.size()))
                typed, heard = self._terminal.wait()
                for number, code in ENDS.items():
                    if number in heard:
                        return code
                if signal.SIGTSTP in heard:
                    self._terminal.stop()
                for key in keys(typed):
                    if key in ("q", "\x03", "\x04") and self._view.question is None:
                        return 0
                    act = self._view.press(key, self._story)
                    if act is not None:
                        self._reader.do(act)
                self._take_news()

    def _tell(self, news: News | BaseException | str) -> None:
        self._news.put(news)
        self._terminal.wake()

    def _take_news(self) -> None:
        while not self._news.empty():
            news = self._news.get()
            if isinstance(news, str):
                self._view.said = news
            elif isinstance(news, BaseException):
                self._place = self._place._replace(away=str(news) or type(news).__name__)
            else:
                self._place = self._place._replace(away="")
                if not self._view.is_still:
                    self._story.add(news)
