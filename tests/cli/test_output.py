"""What a person and a script see: help, harmless text, JSON, widths, closed pipes, a broker that dies in between."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path

import msgpack
import pytest

from distq import __version__
from distq.cli import output
from distq.codec import Codec
from distq.embedded import EmbeddedBroker
from tests.cli.conftest import PYTHON, Shell
from tests.cli.test_dlq import bury
from tests.support.eventually import eventually
from tests.support.room import Room, completed, verdict

COMMANDS = [
    [], ["run"], ["dev"], ["enqueue"], ["result"], ["cancel"], ["queues"], ["purge"], ["tasks"], ["tasks", "show"],
    ["dlq"], ["dlq", "list"], ["dlq", "show"], ["dlq", "replay"], ["dlq", "purge"], ["bench"],
]  # fmt: skip
EVIL = "\x1b[31mred\x1b]0;title\x07 \x9b2J \u202eltr\u2066 \u200b\ufeff line\nnext\ttab\r\x00 \U000e0041 ok"


def harmless(text: str) -> bool:
    return all(character == "\n" or character.isprintable() for character in text)


# -- help -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command) or "distq")
def test_help_is_complete_and_ends_with_examples_that_can_be_copied(outside: Shell, command: list[str]) -> None:
    help = outside(*command, "--help", env={"COLUMNS": "80"}).out
    assert outside(*command, "-h", env={"COLUMNS": "80"}).out == help
    assert help.startswith(" ".join(["Usage: distq", *command]))
    assert max(len(line) for line in help.splitlines()) <= 80
    summaries = help.partition("Commands:")[2].partition("Examples:")[0]
    assert "..." not in summaries, "a summary is cut off"
    for option in re.findall(r"^  (?:-\w, )*(--[\w-]+) [A-Z]", help, re.M):
        assert re.search(rf"{option} [A-Z,:]+\s+\S", help), f"{option} has no text"
    if command not in (["tasks"], ["dlq"]):
        *_, examples = help.partition("Examples:\n")
        lines = re.findall(r"^    (distq .*)$", examples, re.M)
        assert lines
        for line in lines:
            assert line.startswith(" ".join(["distq", *command]))
            assert line.count("'") % 2 == 0, "an example is broken in two"


def test_every_option_of_run_names_its_default(outside: Shell) -> None:
    help = re.sub(r"\s+", " ", outside("run", "--help").out)
    for default in ("one per core that it may use", "all that the application declares", "8080, or the next free one"):
        assert f"[default: {default}]" in help
    for variable, default in (("GRACE", "30s"), ("LEASE", "15s"), ("MAX_DELIVERIES", "3"), ("LOG_LEVEL", "INFO")):
        assert f"[env var: DISTQ_{variable}; default: {default}]" in help
    assert "DISTQ_DEV_BROKER" not in help


def test_distq_alone_shows_help(outside: Shell) -> None:
    assert outside().out == outside("--help").out
    assert outside("dlq").out == outside("dlq", "--help").out


def test_version(outside: Shell) -> None:
    assert outside("--version").out == f"distq {__version__}\n"


def test_the_real_program_is_what_the_tests_run(outside: Shell) -> None:
    """Most tests fork a process that has imported the program already; this one starts it as a person does."""
    program = Path(PYTHON).with_name("distq")
    for command in ([str(program)], [PYTHON, "-m", "distq"]):
        done = subprocess.run(
            [*command, "queues", "--broker", "http://x"], cwd=outside.folder, env=outside.environ,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        said = outside("queues", "--broker", "http://x", code=2)
        assert (done.returncode, done.stdout, done.stderr) == (said.code, said.out, said.err)


def test_the_command_line_imports_nothing_heavy(outside: Shell) -> None:
    """Neither for help nor to read the words of a host."""
    script = (
        "import sys, distq.cli.commands as line\n"
        "line.app(['queues', '--help'], standalone_mode=False)\n"
        "line.app(['run', 'myapp:app', '-p', '1', '-Q', 'mail'], standalone_mode=False, obj=lambda config: 0)\n"
        "heavy = {'rich.console', 'prometheus_client', 'pydantic', 'importlib.metadata', 'watchfiles'}\n"
        "print(sorted((heavy | {'distq.supervisor.supervisor'}) & set(sys.modules)))"
    )
    done = subprocess.run([PYTHON, "-c", script], env=outside.environ, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\n[]\n")


# -- completion -----------------------------------------------------------------------------------------------------


def complete(shell: Shell, line: str) -> set[str]:
    """What a shell would offer after this line."""
    words = line.split(" ")
    env = {
        "_DISTQ_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1),
        "_TYPER_COMPLETE_ARGS": line,
    }  # fmt: skip
    return set(shell(env=env).out.split())


def test_completion_knows_commands_options_types_queues_and_names(distq: Shell, shop: Room, mail: Room) -> None:
    shop.register(["email", "export"])
    mail.enqueue("newsletter")
    assert complete(distq, "distq en") == {"enqueue"}
    assert "--processes" in complete(distq, "distq run --p")
    assert complete(distq, "distq enqueue e") == {"email", "export"}
    assert complete(distq, "distq enqueue n") == {"newsletter"}
    assert complete(distq, "distq enqueue --app myapp:app s") == {"send_email", "sleep"}
    assert complete(distq, "distq enqueue email -Q ") == {"default", "mail"}
    assert complete(distq, "distq purge m") == {"mail"}
    assert complete(distq, "distq run myapp:app -Q m") == {"mail"}
    assert complete(distq, "distq dlq list --type ne") == {"newsletter"}
    assert complete(distq, "distq queues --name ") == {"shop"}
    assert complete(distq, "distq purge mail --priority h") == {"high"}
    assert complete(distq, "distq run myapp:app -l W") == {"WARNING"}


def test_completion_without_a_broker_or_with_a_broken_module_is_silent(outside: Shell) -> None:
    outside.write("broken.py", "print('loud')\nraise SystemExit('no')\n")
    outside.environ["DISTQ_BROKER"] = "redis://127.0.0.1:1/0"
    assert complete(outside, "distq enqueue e") == set()
    assert complete(outside, "distq enqueue --app broken:app e") == set()
    assert complete(outside, "distq enqueue --app nowhere:app e") == set()


# -- harmless -------------------------------------------------------------------------------------------------------


def test_whatever_a_queue_holds_is_shown_as_harmless_text(distq: Shell, shop: Room) -> None:
    ids = ["evil\u202e-id", "\u200bhidden"]
    worker = shop.register(["job"])
    blob = msgpack.packb(
        {"outcome": EVIL, "type": f"Evil{EVIL}", "message": EVIL, "traceback": EVIL, "attempt": 1, "by": EVIL}
    )
    for id in ids:
        shop.enqueue(id=id, body=Codec().pack_call((EVIL, {EVIL: EVIL}), {"x": EVIL}))
        shop.hold(worker, id)
        shop.step(worker, 0, [verdict(id, "bury", blob=blob)])
    done = shop.enqueue()
    shop.hold(worker, done)
    shop.step(worker, 0, [completed(done, EVIL)])
    for command in (
        ["dlq", "list"], ["dlq", "show", ids[0]], ["tasks", "show", done], ["result", done], ["queues"],
        ["dlq", "replay", ids[0], "--dry-run"],
    ):  # fmt: skip
        for extra in ([], ["--json"]):
            said = distq(*command, *extra)
            assert harmless(said.out), (command, said.out)
    failed = distq("result", ids[0], code=1)
    assert harmless(failed.err)
    assert r"\x1b[31mred" in failed.err
    assert r"evil\u202e-id" in distq("dlq", "list").out, "the id can be told from its look-alike"
    assert distq("result", done, "--json").json["result"] == EVIL, "JSON is harmless and still exact"
    assert json.loads(distq("result", done).out) == EVIL
    assert {letter["id"] for letter in distq("dlq", "list", "--json").json} == set(ids)
    assert harmless(distq("cancel", *ids, code=1).out)
    assert harmless(distq("result", "no\u202eone", code=1).err)
    assert harmless(distq("enqueue", "add", "1", "--id", "a\x1bb", code=2).err)
    assert harmless(distq("queues", "--name", "\x1b[31m", code=2).err)
    assert harmless(distq("\x1b[31m", code=2).err)
    assert harmless(distq("queues", "--\x1b[31m", code=2).err)


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: list[Colour]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        (math.nan, '"NaN"'),
        (-math.inf, '"-Infinity"'),
        (10**30, "1" + "0" * 30),
        (1 << 20_000, f'"{hex(1 << 20_000)}"'),
        ((1, 2), "[1, 2]"),
        ({3, 1, 2}, "[1, 2, 3]"),
        (b"caf\xc3\xa9\xff", '"café\\\\xff"'),
        ({1: "a", None: "b", (1, 2): "c", b"k": "d"}, '{"1": "a", "null": "b", "[1, 2]": "c", "k": "d"}'),
        (Colour.RED, '"red"'),
        (Point(1, [Colour.RED]), '{"x": 1, "y": ["red"]}'),
        (Decimal("1.10"), '"1.10"'),
        (datetime(2026, 1, 2, 3, tzinfo=UTC), '"2026-01-02T03:00:00+00:00"'),
        (date(2026, 1, 2), '"2026-01-02"'),
        (timedelta(seconds=90), '"0:01:30"'),
        (Path("a/b"), '"a/b"'),
        ("\ud800\u2028é", '"\\ud800\\u2028é"'),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_every_value_that_can_travel_becomes_json(value: object, written: str) -> None:
    assert output.json_text(value) == written
    json.loads(written)


# -- the terminal ---------------------------------------------------------------------------------------------------


def test_a_table_in_a_pipe_has_a_row_on_each_line_whatever_its_length(distq: Shell, shop: Room) -> None:
    ids = bury(shop, 3, error="E" * 100, message="m" * 150)
    rows = distq("dlq", "list").out.splitlines()
    assert [row.split()[0] for row in rows[1:4]] == ids[::-1]
    assert all(f"{'E' * 100}: {'m' * 150}" in row for row in rows[1:4])
    assert all(row == row.rstrip() for row in rows)


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_on_a_terminal_only_the_error_is_broken_and_nothing_is_left_out(distq: Shell, shop: Room, columns: int) -> None:
    (id,) = bury(shop, 1, type="send_email", error="app.errors.PartnerError", message="word " * 30 + "end")
    lines = distq("dlq", "list", env={"COLUMNS": str(columns)}).out.splitlines()[:-1]
    assert re.match(rf"{re.escape(id)}  ?send_email +1  ?\d+s ago +app\.errors", lines[1])
    error = "".join(line[lines[1].index("app.errors") :].replace(" ", "") for line in lines[1:])
    assert error == f"app.errors.PartnerError:{'word' * 30}end"
    if columns >= 80:
        assert max(map(len, lines)) <= columns


def test_colours_only_where_they_are_wanted(distq: Shell, shop: Room) -> None:
    assert "\x1b" not in distq("queues").out
    forced = distq("queues", env={"FORCE_COLOR": "1"}).out
    assert "\x1b[" in forced
    assert "\x1b[" not in distq("queues", env={"NO_COLOR": "1"}).out
    plain = re.sub(r"\x1b\[[\d;]*m", "", forced)
    assert [line.rstrip() for line in plain.splitlines()] == distq("queues").out.splitlines()


def test_a_terminal_that_knows_ascii_only_is_no_error(distq: Shell, shop: Room) -> None:
    id, worker = shop.enqueue(), shop.register()
    shop.hold(worker, id)
    shop.step(worker, 0, [completed(id, "é…")])
    done = subprocess.run(
        [PYTHON, "-m", "distq", "result", id], cwd=distq.folder, capture_output=True, text=True, check=True,
        env=distq.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )  # fmt: skip
    assert json.loads(done.stdout) == "é…"


@pytest.mark.parametrize("command", ["dlq list --limit 1000", "dlq list --limit 1000 --json", "--help"])
def test_a_pipe_that_is_closed_early_is_no_traceback(distq: Shell, shop: Room, command: str) -> None:
    bury(shop, 400)
    done = subprocess.run(
        ["/bin/sh", "-c", f"{PYTHON} -m distq {command} | head -n 1"], cwd=distq.folder, env=distq.environ,
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


@pytest.mark.parametrize("command", ["queues", "dlq list --json", "--version"])
def test_a_reader_that_is_gone_already_is_no_traceback(distq: Shell, shop: Room, command: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = distq.start(*command.split(), stdout=writer)
    os.close(writer)
    assert process.ended() == 1
    assert process.err == ""


def test_a_disk_that_is_full_is_said_in_a_line(distq: Shell, shop: Room) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        process = distq.start("queues", stdout=full.fileno())
        assert process.ended() == 1
    assert process.err == "error: what it prints cannot be written: No space left on device\n"


# -- a broker that dies in between ----------------------------------------------------------------------------------


@pytest.fixture
def mortal() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


def test_a_broker_that_dies_while_somebody_waits_is_exit_code_3(outside: Shell, mortal: EmbeddedBroker) -> None:
    room = Room(mortal.url, "shop")
    waiting = outside.start("enqueue", "add", "1", "--name", "shop", "--broker", mortal.url, "--wait")
    eventually(lambda: b"blmove" in room.redis.execute_command("CLIENT", "LIST"), "it waits")
    id = room.redis.hkeys(room.key("TASKS"))[0].decode()
    room.close()
    os.kill(mortal.pid, signal.SIGKILL)
    assert waiting.ended() == 3
    assert f"note: the task was sent; its id is {id}" in waiting.err
    assert "error: no broker at unix:" in waiting.err
    assert waiting.out == ""
