"""distq top in a real terminal: what it shows, what keys do, and that the terminal is as before when it has ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from distq import Distq
from distq.cli.top.reader import Looks
from tests.cli.conftest import PYTHON, Shell
from tests.support.eventually import eventually
from tests.support.proxy import CutRequest, Proxy
from tests.support.room import Room
from tests.support.screen import Terminal

OTHER_SCREEN, BACK = b"\x1b[?1049h", b"\x1b[?1049l"

Open = Callable[..., Terminal]


@pytest.fixture
def top(distq: Shell) -> Iterator[Open]:
    """Starts it, in 80 columns and 24 lines."""
    terminals: list[Terminal] = []

    def start(*words: str, **environ: str) -> Terminal:
        command = [PYTHON, "-m", "distq", "top", "--every", "200ms", *words]
        terminals.append(Terminal(command, distq.folder, {**distq.environ, **environ}, 80, 24))
        return terminals[-1]

    yield start
    for terminal in terminals:
        terminal.close()


def is_as_before(terminal: Terminal) -> bool:
    assert terminal.settings == terminal.before
    eventually(lambda: terminal.raw.rstrip().endswith((BACK, b"\x1b[?25h")), "the cursor and the screen are back")
    return terminal.raw.count(OTHER_SCREEN) == terminal.raw.count(BACK)


def test_it_shows_what_goes_on_and_pauses_a_queue_when_asked(distq: Shell, shop: Room, mail: Room, top: Open) -> None:
    distq.host("-t", "2")
    distq("enqueue", "sleep", "600", "--id", "nap")
    distq("enqueue", "send_email", '"nobody"', "-Q", "mail")
    for _ in range(3):
        mail.enqueue("later", delay=3_600_000)
    screen = top("--name", "shop", COLUMNS="40")
    screen.until("p95", "shop at", "[1] queues", "[2] types", "1 worker on 1 host", "dead 1", "send_email")
    screen.press("3")
    screen.until("[3] workers", "sleep", "nap")
    screen.press("4")
    screen.until("[4] dead", "ValueError", "no address: nobody")
    screen.press("R")
    screen.until("Run again all send_email that died of ValueError")
    screen.press("y")
    screen.until("1 task of send_email will run again")
    screen.press("1sp")
    screen.until("Pause queue", "[y/N]")
    screen.press("n")
    screen.until("nothing was changed")
    assert not shop.redis.exists(shop.key("STOPPED"))
    screen.press("p")
    screen.until("[y/N]")
    paused = screen.lines[-1].split()[2].rstrip("?")
    screen.press("y")
    screen.until(f"queue {paused}: paused", f"{paused} paused")
    assert {"default": shop, "mail": mail}[paused].redis.exists(f"distq:{{shop/{paused}}}:stopped")
    distq("resume", "--queue", paused)
    screen.resize(160, 45)
    screen.until("[1] queues", "[2] types", "[3] workers", "[4] dead")
    assert all(len(line.rstrip()) <= 160 for line in screen.lines)
    screen.press("?")
    screen.until("Keys", "run again what has died")
    screen.press("q")
    assert screen.ended() == 0
    assert is_as_before(screen)
    distq("cancel", "nap", "--kill")


def test_a_broker_that_goes_and_comes_back_and_a_shell_that_gets_its_terminal(
    distq: Shell, shop: Room, url: str, top: Open
) -> None:
    shop.enqueue()
    with Proxy(url) as proxy:
        screen = top("--broker", proxy.url, NO_COLOR="1")
        screen.until("waiting 1")
        with proxy.fault(CutRequest()):
            screen.until("the broker is away", "default")
        shop.enqueue()
        screen.until("waiting 2")
        assert b"\x1b[3" not in screen.raw.replace(b"\x1b[39m", b""), "NO_COLOR is heard"
        screen.press("\x1a")
        eventually(lambda: os.waitpid(screen.process.pid, os.WUNTRACED | os.WNOHANG)[0], "Ctrl-Z stops it")
        assert is_as_before(screen)
        os.kill(screen.process.pid, signal.SIGCONT)
        eventually(lambda: screen.raw.count(OTHER_SCREEN) == 2, "it has the terminal again")
        screen.until("waiting 2")
        screen.press("\x03")
        assert screen.ended() == 0
        assert is_as_before(screen)
    screen = top()
    screen.until("waiting 2")
    screen.press("\x1c")
    assert screen.ended() == 131, "Ctrl-\\"
    assert is_as_before(screen)


def test_a_pipe_gets_all_of_it_once(distq: Shell, shop: Room) -> None:
    for _ in range(3):
        shop.enqueue("resize")
    said = distq("top", "--every", "200ms")
    tables = ("[1] queues", "default", "[2] types", "resize", "[3] workers", "[4] dead", "nothing has died")
    for text in ("waiting 3", *tables):
        assert text in said.out
    assert "\x1b" not in said.out
    assert "200ms to 1h" in distq("top", "--every", "1ms", code=2).err
    distq("top", "--broker", "redis://127.0.0.1:1", code=3)


def test_a_look_is_one_call_for_all_queues(shop: Room, mail: Room) -> None:
    def scripts() -> int:
        return int(shop.redis.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0))

    looks = Looks(Distq("shop", shop.url))
    looks.look()
    before = scripts()
    assert set(looks.look().now.queues) == {"default", "mail"}
    looks.look()
    assert scripts() - before == 2
