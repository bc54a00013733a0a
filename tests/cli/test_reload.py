"""`distq run --reload`: fresh code when the source changes, as after HUP."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.cli.conftest import STARTED, Process, Shell
from tests.support.eventually import eventually
from tests.support.host import children_of, is_alive

SOURCE = """
import os, time
from distq import Distq

app = Distq("shop")


@app.task
def answer(seconds: float = 0) -> list:
    time.sleep(seconds)
    return [NUMBER, os.getpid()]
"""


def source(number: object, more: str = "") -> str:
    return SOURCE.replace("NUMBER", repr(number)) + more


@pytest.fixture
def start(distq: Shell, url: str) -> Process:
    """A host that has started with code that answers 1."""
    distq.write("shop.py", source(1))
    process = run(distq)
    process.until(STARTED)
    return process


def run(distq: Shell) -> Process:
    return distq.start("run", "shop:app", "-p", "2", "--metrics-port", "0", "--reload")


def answer(distq: Shell) -> object:
    return distq("enqueue", "answer", "--wait").json[0]


def answers(distq: Shell, number: object) -> None:
    eventually(lambda: answer(distq) == number, f"the code answers {number}", within=20)


def test_a_change_of_the_source_is_in_use_a_moment_later(distq: Shell, start: Process) -> None:
    assert answer(distq) == 1
    distq.write("shop.py", source(2))
    answers(distq, 2)
    assert "shop.py changed: loading the application afresh" in start.all
    assert start.all.count(STARTED) == 1, "by the same host"
    assert start.end() == 0


def test_saves_in_quick_succession_end_with_the_last_one(distq: Shell, start: Process) -> None:
    for number in range(10, 40):  # of the same size, within two seconds: compiled files would say 'still the same'
        distq.write("shop.py", source(number))
        time.sleep(0.05)
    answers(distq, 39)
    start.send(signal.SIGHUP)
    answers(distq, 39)
    assert start.end() == 0


def test_code_that_cannot_be_imported_is_shown_and_the_old_processes_go_on(distq: Shell, start: Process) -> None:
    for broken, said in (
        ("def broken(:\n", "SyntaxError"), ("import nothing_like_that\n", "No module named 'nothing_like_that'"),
    ):  # fmt: skip
        distq.write("shop.py", source(2, broken))
        start.until(said)
    start.until("what was loaded before goes on", times=2)
    assert answer(distq) == 1
    distq.write("shop.py", source(3))
    answers(distq, 3)


def test_what_is_broken_from_the_start_can_be_mended(distq: Shell, url: str) -> None:
    distq.write("shop.py", "import nothing_like_that\n")
    process = run(distq)
    process.until("Waiting for a change of the source")
    distq.write("shop.py", source(1, "oh no\n"))
    process.until("Waiting for a change of the source", times=2)
    distq.write("shop.py", source(2))
    process.until(STARTED)
    answers(distq, 2)
    assert process.end() == 0


def test_a_hup_and_changes_while_the_host_starts_end_with_the_newest_code(distq: Shell, url: str) -> None:
    slow = "time.sleep(0.3)\n"
    distq.write("shop.py", source(1, slow))
    process = run(distq)
    eventually(lambda: len(children_of(process.pid)) >= 2, "it imports the application")
    process.send(signal.SIGHUP)
    distq.write("shop.py", source(2, slow))
    process.until("SIGHUP: loading")
    process.send(signal.SIGHUP)
    distq.write("shop.py", source(3))
    process.until(STARTED)
    answers(distq, 3)
    assert process.end() == 0


def test_a_task_ends_with_the_code_with_which_it_began(distq: Shell, start: Process) -> None:
    id = distq("enqueue", "answer", '{"seconds": 2}').out.strip()
    eventually(lambda: distq("tasks", "show", id, "--json").json["status"] == "running", "it runs")
    distq.write("shop.py", source(2))
    answers(distq, 2)
    assert distq("result", id, "--wait", "20s").json[0] == 1


def test_another_queue_or_name_has_the_host_start_again_by_itself(distq: Shell, start: Process) -> None:
    distq.write("shop.py", source(2, "\napp.queue('mail')\n\n@app.task(queue='mail')\ndef send(): return 'sent'\n"))
    start.until(STARTED, times=2)
    assert "it has other queues now: this host starts again" in start.all
    assert distq("enqueue", "send", "--wait").json == "sent"
    answers(distq, 2)
    assert start.end() == 0


def test_when_it_ends_its_watcher_does(distq: Shell, start: Process) -> None:
    family = children_of(start.pid)
    start.send(signal.SIGKILL)
    start.ended()
    eventually(lambda: not any(is_alive(pid) for pid in family), "nothing is left")


def test_a_watcher_that_dies_is_named_and_the_rest_goes_on(distq: Shell, start: Process) -> None:
    os.kill(min(children_of(start.pid)), signal.SIGKILL)
    start.until("changes of the source are not seen any more")
    distq.write("shop.py", source(2))
    start.send(signal.SIGHUP)
    answers(distq, 2)
    assert start.end() == 0


def test_fresh_code_is_that_of_the_folder_to_which_a_link_leads_now(distq: Shell, url: str) -> None:
    """As with releases in folders of their own."""
    for number in (1, 2):
        distq.write(
            f"releases/{number}/shop.py", source(number, f"\nassert open('shop.py').read().count('[{number},')\n")
        )
    link, releases = distq.folder / "current", distq.folder / "releases"
    link.symlink_to(releases / "1")
    distq.folder, distq.environ["PWD"] = releases / "1", str(link)
    host = distq.start("run", "shop:app", "-p", "1", "--metrics-port", "0")
    host.until(STARTED)
    assert answer(distq) == 1
    link.unlink()
    link.symlink_to(releases / "2")
    host.send(signal.SIGHUP)
    answers(distq, 2)
    assert host.end() == 0
