"""Addresses that distq reads itself mean what redis-py says that they mean."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from distq.broker.dial import Address, check, plain

parse_url: Any = redis.connection.parse_url
words = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
hosts = st.sampled_from(["", "localhost", "broker.internal", "127.0.0.1", "[::1]", "Broker"])


def as_redis_says(url: str) -> Address:
    told = parse_url(url)
    return Address(
        told.get("path", ""),
        "" if "path" in told else told.get("host", "localhost"),
        0 if "path" in told else told.get("port", 6379),
        told.get("username", ""),
        told.get("password", ""),
        told.get("db", 0),
    )


@given(words, words, hosts, st.none() | st.integers(1, 65535), st.sampled_from(["", "/", "/0", "/7", "/15"]))
def test_a_tcp_address_is_read_as_redis_py_reads_it(
    username: str, password: str, host: str, port: int | None, database: str
) -> None:
    who = f"{quote(username, safe='')}:{quote(password, safe='')}@" if username or password else ""
    url = f"redis://{who}{host}{'' if port is None else f':{port}'}{database}"
    assert plain(url) == as_redis_says(url)


@given(words, words, words.filter(lambda word: word.strip("/") != ""))
def test_a_path_is_read_as_redis_py_reads_it(username: str, password: str, path: str) -> None:
    who = f"{quote(username, safe='')}:{quote(password, safe='')}@" if username or password else ""
    url = f"unix://{who}/{quote(path)}"
    assert plain(url) == as_redis_says(url)


@given(st.text(st.sampled_from("redisunx:/@.?#[]%0123456789abc "), max_size=30))
def test_whatever_it_reads_is_what_redis_py_reads(text: str) -> None:
    for url in (text, f"redis://{text}", f"unix://{text}"):
        try:
            address = plain(url)
        except ValueError:
            with pytest.raises(ValueError):
                parse_url(url)
            continue
        if address is not None:
            assert address == as_redis_says(url)


@pytest.mark.parametrize(
    "url", ["rediss://broker/0", "redis://broker?db=3", "unix:///run/redis.sock?db=3", "redis://broker/0#1", "unix://"]
)
def test_tls_and_options_are_left_to_redis_py(url: str) -> None:
    assert plain(url) is None
    check(url)


@pytest.mark.parametrize("url", ["redis://broker:nine/0", "redis://broker:99999", "redis://broker?db=x"])
def test_what_cannot_be_read_is_an_error(url: str) -> None:
    with pytest.raises(ValueError):
        check(url)
