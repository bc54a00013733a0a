"""Where an error was raised, by the text of its traceback."""

from __future__ import annotations

import pytest

from distq.broker.causes import Cause, top_frame

TRACEBACK = """Traceback (most recent call last):
  File "/srv/shop/orders.py", line 7, in place
    charge(order)
KeyError: 1

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/srv/shop/mail.py", line 12, in send
    client.post(url)
  File "/srv/.venv/lib/python3.12/site-packages/httpx/_client.py", line 1, in post
    raise ConnectError(x)
httpx.ConnectError: no route
"""
CRASH = """Current thread 0x1 (most recent call first):
  File "/usr/lib/python3.12/ctypes/__init__.py", line 5 in string_at
  File "/srv/shop/c.py", line 3 in crash
  File "/srv/shop/b.py", line 2 in run
"""


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        (TRACEBACK, "shop/mail.py:12 in send"),
        (CRASH, "shop/c.py:3 in crash"),
        ('  File "C:\\shop\\a.py", line 1, in <module>', "shop/a.py:1 in <module>"),
        ('  File "/usr/lib/python3.12/json/x.py", line 4, in loads', "json/x.py:4 in loads"),
        ("ValueError: no traceback", ""),
        ('File "' * 1000, ""),
    ],
)
def test_the_innermost_call_in_peoples_own_code(text: str, frame: str) -> None:
    assert top_frame(text) == frame


def test_a_class_is_meant_exactly_or_a_part_of_all_that_is_said() -> None:
    cause = Cause("ValueError", "no Route", "a.py:1 in x")
    assert cause.matches("", "")
    assert cause.matches("error: no r", "a.py:1 in x")
    assert cause.matches("=ValueError", "")
    assert not cause.matches("=Value", "")
    assert not cause.matches("", "-")
    assert Cause("ValueError").matches("", "-")
