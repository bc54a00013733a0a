"""Messages on the wire: the layout that scripts and other languages rely on, ids and names."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from distq.errors import ConfigurationError
from distq.message import (
    NEVER_SAID,
    PLAIN,
    VERSION,
    Message,
    body_at,
    check_id,
    check_place,
    check_type,
    family,
    head,
    new_id,
    parse,
    partitions,
    priority_number,
    queue_of,
)

# created 1000 ms | expires 2000 ms | result TTL 600 s | attempt 2 | deliveries 1 | version 1 | priority 2 | flags 0
GOLDEN = (
    b"\x40\x8f\x40\x00\x00\x00\x00\x00" b"\x40\x9f\x40\x00\x00\x00\x00\x00"
    b"\x00\x00\x02\x58" b"\x00\x02" b"\x01" b"\x01" b"\x02" b"\x00" b"\x03job" b"\x91\x90"
)  # fmt: skip
MESSAGE = Message(1000, 2000, 600, 2, 1, 1, 2, 0, "job", b"\x91\x90")


def test_golden_bytes() -> None:
    assert parse(GOLDEN) == MESSAGE


def test_head_of_a_new_message() -> None:
    assert head("job", 2, 600) == b"\x00\x00\x02\x58\x00\x00\x00\x01\x02\x00\x03job"


def test_producer_that_does_not_know_the_declaration() -> None:
    assert head("job", 1, None)[:4] == b"\xff\xff\xff\xff"
    assert parse(bytes(16) + head("job", 1, None)).result_ttl_s == NEVER_SAID


@given(
    st.text("abz09_.:/-", min_size=1, max_size=200), st.integers(0, 2), st.integers(0, 366 * 86400), st.binary(),
    st.none() | st.binary(max_size=300),
)  # fmt: skip
def test_what_a_producer_sends_can_be_parsed(type: str, priority: int, ttl: int, body: bytes, flow: bytes) -> None:
    raw = struct.pack(">dd", 1.5, 0) + head(type, priority, ttl, 0, flow) + body
    version = PLAIN if flow is None else VERSION
    assert parse(raw) == (1.5, 0, ttl, 0, 0, version, priority, 0, type, body, flow or b"")
    assert flow is None or raw[body_at(raw) :] == body


@pytest.mark.parametrize("length", range(len(GOLDEN) - 2))
def test_message_that_is_cut_off(length: int) -> None:
    with pytest.raises(ValueError, match=r"not a message|cut off"):
        parse(GOLDEN[:length])


def test_type_that_is_no_text() -> None:
    with pytest.raises(ValueError, match="not a message"):
        parse(GOLDEN.replace(b"job", b"\xff\xff\xff"))


@given(st.binary(max_size=64))
@example(bytes(27))
@example(b"\xff" * 27 + b"\xff" * 255)
def test_random_bytes(raw: bytes) -> None:
    try:
        message = parse(raw)
    except ValueError:
        return
    assert raw.endswith(message.body)


# -- ids ---------------------------------------------------------------------------------------------------------------


def test_generated_id_tells_its_queue() -> None:
    id = new_id("mail-2_x")
    assert queue_of(id) == "mail-2_x"
    assert check_id(id) == id
    assert new_id("mail") != new_id("mail")


def test_generated_id_tells_its_partition() -> None:
    for name in partitions("mail", 64):
        assert queue_of(new_id(name)) == name
        assert family(name) == "mail"
    assert len(set(partitions("mail", 64))) == 64
    assert [family(name) for name in ("mail", "mail/0", "mail/x", "a/b/1")] == ["mail", "mail/0", "mail/x", "a/b/1"]


@pytest.mark.parametrize(
    "id",
    [
        "",
        "mail/0.0123456789abcdef0123",
        "mail/123.0123456789abcdef0123",
        "order-1",
        "mail.",
        "mail.123",
        "mail.0123456789ABCDEF0123",
        "a b.0123456789abcdef0123",
        ".0123456789abcdef0123",
    ],
)
def test_id_of_a_user_tells_no_queue(id: str) -> None:
    assert queue_of(id) is None


@pytest.mark.parametrize("id", ["a", "order:1/{x}", "é" * 100, "x" * 200, "日本"])
def test_ids_of_users(id: str) -> None:
    assert check_id(id) == id


@pytest.mark.parametrize(
    "id",
    ["", " ", "a b", "a\n", "a\tb", "\x00", "\x7f", "\x85", "\u2028", "x" * 201, "é" * 101, "\ud800", b"a", None, 1],
)
def test_no_id(id: object) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be an id: use (a str of )?1 to 200 bytes without spaces"):
        check_id(id)


@given(st.text(max_size=300))
def test_an_id_that_passes_is_safe_in_keys_and_entries(text: str) -> None:
    try:
        id = check_id(text)
    except ConfigurationError:
        return
    assert len(id.encode()) <= 200
    assert id.split() == [id]


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["job", "shop.mail:send/v2-1_x", "x" * 200])
def test_types(name: str) -> None:
    assert check_type(name) == name


@pytest.mark.parametrize("name", ["", "<lambda>", "a b", "job\n", "é", "x" * 201, None, 5, b"job"])
def test_no_type(name: object) -> None:
    with pytest.raises(ConfigurationError, match="cannot be a type: use 1 to 200 letters"):
        check_type(name)


@pytest.mark.parametrize("name", ["shop", "Shop-2_x", "x" * 64])
def test_places(name: str) -> None:
    assert check_place(name, "queue") == name


@pytest.mark.parametrize("name", ["", "a.b", "a/b", "a:b", "a{b}", "shop\n", "é", "x" * 65, None, 5])
def test_no_place(name: object) -> None:
    with pytest.raises(ConfigurationError, match=r"queue .* is no valid name: use 1 to 64 letters"):
        check_place(name, "queue")


@pytest.mark.parametrize(("value", "number"), [("low", 0), ("default", 1), ("high", 2), (0, 0), (1, 1), (2, 2)])
def test_priorities(value: object, number: int) -> None:
    assert priority_number(value) == number


@pytest.mark.parametrize("value", ["", "HIGH", "urgent", -1, 3, 1.0, True, None, [], "1"])
def test_no_priority(value: object) -> None:
    with pytest.raises(ConfigurationError, match=r"is none of high, default, low \(or 2, 1, 0\)"):
        priority_number(value)
