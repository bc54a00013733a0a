"""JSON from outside, read strictly: what other readers would understand otherwise is refused."""

from __future__ import annotations

import json
import math
from typing import Any

from distq.server.problems import Problem

MOST_BRACKETS, MOST_MEMBERS = 200_000, 500_000
"""Lists and objects in a body, and what is in objects. Each costs a hundred times what a byte of text does."""


def parse(body: bytes) -> Any:
    """The value in a body.

    Raises Problem (400) for what is no JSON, NaN, infinite numbers, integers with thousands of digits, a key twice in
    one object, and deep nesting; 413 for very many small parts, before it makes them.
    """
    if body.count(b"[") + body.count(b"{") > MOST_BRACKETS or body.count(b'":') > MOST_MEMBERS:
        raise Problem(
            413, f"the body has more than {MOST_BRACKETS} lists and objects, or {MOST_MEMBERS} names: send it in parts"
        )
    try:
        return _DECODER.decode(body.decode("utf-8"))
    except RecursionError:
        raise Problem(400, "the body is nested too deeply", field="body") from None
    except _Refused as error:
        raise Problem(400, str(error), field=error.field) from None
    except UnicodeDecodeError:
        raise Problem(400, "the body is no UTF-8", field="body") from None
    except ValueError as error:
        raise Problem(400, f"the body is no JSON: {_harmless(str(error))}", field="body") from None


class _Refused(ValueError):
    def __init__(self, text: str, field: str = "body") -> None:
        super().__init__(text)
        self.field = field


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise _Refused(f"the key {twice!r:.80} is there twice", f"{twice:.80}")
    return found


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _Refused(f"the number {text:.40} is too large")
    return number


def _constant(text: str) -> float:
    raise _Refused(f"{text} is no JSON")


def _harmless(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()[:200]


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_constant=_constant)
