"""Lines about ended attempts: quick or not, they are the same; others that listen get records."""

from __future__ import annotations

import json
import logging
import os
import re
import select
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distq import Distq, message
from distq.context import Context, id_in
from distq.logs import _Unhurried, formatter, note_lines, write_lines
from distq.middleware.logging import LogAttempts
from distq.worker.board import Board, Slot
from distq.worker.lines import LINES_BYTES

app = Distq("app")


@app.task(type="mail")
def mail() -> None: ...


def context(id: str = "default.1f", attempt: int = 2, headers: dict[str, Any] | None = None) -> Context:
    head = bytearray(struct.pack(">dd", 1000.0, 0.0) + message.head("mail", 1, 600))
    head[20:22] = (attempt - 1).to_bytes(2, "big")
    return Context(id.encode(), bytes(head), ([], {}, headers or {}), "default", 1, mail, None)


class Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture(params=["text", "json"])
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def slot(file: Path, form: str) -> Iterator[Slot]:
    """A worker's, which writes to the file."""
    slot, logger = Board(1).slots[0], logging.getLogger("distq")
    before = (logger.handlers[:], logger.level, logger.propagate)
    number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    handler = _Unhurried(number, "utf-8", formatter("json" if form == "json" else "text"))
    logger.handlers[:], logger.propagate = [handler], False
    logger.setLevel("INFO")
    note_lines(slot)
    yield slot
    logger.handlers[:], _, logger.propagate = before
    logger.setLevel(before[1])
    os.close(number)


def test_a_line_is_the_same_whether_somebody_listens_or_not(slot: Slot, file: Path, form: str) -> None:
    listener, logger = Listener(), logging.getLogger("distq.task")
    tasks = [context(), context('odd"\\ü\u202e', 1, {"correlation_id": "order-7"})]
    for listens in (False, True):
        if listens:
            logger.addHandler(listener)
        for task in tasks:
            LogAttempts().succeeded(task, 0.01234)
    logger.removeHandler(listener)
    assert [record.__dict__["outcome"] for record in listener.records] == ["completed"] * 2
    assert file.read_text() == "", "nothing is written before it is asked for"
    write_lines(slot)
    quick, other, slow, another = file.read_text("utf-8").splitlines()
    for one, two in ((quick, slow), (other, another)):
        assert unlike(one, form) == unlike(two, form)
    assert "order-7" in other or form == "text"


@pytest.mark.parametrize("said", ["", "a\nb", "\x1b[2J", "\ud800", "é" * 101, 5, b"x", ["x"]])
def test_what_can_be_no_correlation_id_is_none(said: object) -> None:
    """A line feed in it would be one in lines whose form is not ours."""
    assert id_in({"correlation_id": said}, "correlation_id") is None
    assert id_in({"parent_id": "é 1" * 50}, "parent_id") == "é 1" * 50


def unlike(line: str, form: str) -> str:
    """Without what changes from moment to moment."""
    if form == "text":
        return line[23:]
    said = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", said.pop("time"))
    assert said.pop("wait_ms") > 0
    return json.dumps(said)


def test_what_finds_no_room_is_written_in_its_place(slot: Slot, file: Path) -> None:
    tasks = [context(f"id-{number}") for number in range(400)]
    for task in tasks:
        LogAttempts().succeeded(task, 0.0)
    assert file.stat().st_size >= LINES_BYTES // 2
    logging.getLogger("distq.worker").warning("of something else")
    lines = file.read_text().splitlines()
    assert len(lines) == len(tasks) + 1
    assert all(task.id in line for task, line in zip(tasks, lines, strict=False))
    assert slot.lines.take() == b""


def test_a_pipe_gets_whole_lines_and_is_told_what_is_missing() -> None:
    reader, writer = os.pipe()
    handler = _Unhurried(writer, "utf-8", formatter())
    try:
        line = b"x" * 999 + b"\n"
        handler.write(line * 100)  # more than there is room for
        handler.write(line)
        got = b""
        while select.select([reader], [], [], 0)[0]:
            got += os.read(reader, 1 << 16)
        assert set(got.splitlines(keepends=True)) == {line}
        handler.write(line)
        said, last = os.read(reader, 1 << 16).splitlines(keepends=True)
        assert said.endswith(b"%d lines were dropped\n" % (101 - got.count(b"\n")))
        assert last == line
    finally:
        handler.close()
        os.close(reader)
        os.close(writer)
