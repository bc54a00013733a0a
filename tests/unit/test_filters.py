"""Which tasks are meant: what people write, and what is no filter."""

from __future__ import annotations

import pytest

from distq import ConfigurationError
from distq.filters import Filter


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("all", Filter()),
        ("type:email", Filter(types=("email",))),
        (
            'type:email,sms* error:"no Route" queue:bulk/3',
            Filter(types=("email", "sms*"), error="no route", queue="bulk/3"),
        ),
        ("state:queued,retrying priority:high,0", Filter(states=("queued", "retrying"), priorities=("high", "low"))),
        ("key:a:b since:1h older:90", Filter(keys=("a:b",), since_s=3600.0, older_s=90.0)),
        (
            'args.user_id:42 args.to:"a b:c" parent:x.1',
            Filter(arguments=(("user_id", "42"), ("to", "a b:c")), parent="x.1"),
        ),
    ],
)  # fmt: skip
def test_words_are_conditions(text: str, meant: Filter) -> None:
    assert Filter.parse(text) == meant
    assert Filter.parse(text).text == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "which tasks"),
        ("  ", "which tasks"),
        ("email", "'email' is no condition"),
        ("all type:email", "'all' is no condition"),
        ("tpye:email", "did you mean `type`"),
        ("type:", "type: is empty"),
        ("args.:1", "no field 'args.'.* and args.NAME"),
        ("args.a:", "args.a: is empty"),
        ("type:a type:b", "twice"),
        ("state:dead", "distq dlq"),
        ("state:completed", "has ended"),
        ("state:queud", "did you mean `queued`"),
        ("priority:urgent", "none of high, default, low"),
        ("since:soon", "since='soon' is no duration"),
        ("older:-1", "no duration"),
        ('error:"no', "quotes come in pairs"),
        ("error:no route", "quotes around spaces"),
        ("type:" + "x" * 1000, "too long"),
    ],
)
def test_what_is_none_is_an_error(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        Filter.parse(text)
