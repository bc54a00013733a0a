"""What is not to be shown: by names that say so, by names that were given, by places that a call tells."""

from __future__ import annotations

import pytest

from distq import ConfigurationError, Distq
from distq.sensitive import HIDDEN, Hiding, hiding, is_likely, told, without

SECRET = [
    "password",
    "dbPassword",
    "X-Auth-Token",
    "api_key",
    "APIKEY",
    "client.secret",
    "Authorization",
    "private-key",
]
HARMLESS = ["max_tokens", "tokens", "author", "key", "passenger", "secretary", "bypass", "user_id"]


@pytest.mark.parametrize("name", SECRET)
def test_names_that_say_so_are_hidden(name: str) -> None:
    assert is_likely(name)


@pytest.mark.parametrize("name", HARMLESS)
def test_others_are_not(name: str) -> None:
    assert not is_likely(name)


def test_a_call_tells_what_is_hidden_of_it_to_those_without_its_code() -> None:
    header = told({"pin"}, {"iban"}, ["user", "pin", "password", "iban"])
    assert header == {"hidden": [1, 2, 3, "iban", "pin"]}
    found = hiding((), header, None, 3)
    assert found.args(["ann", "1", "2", "3"]) == ["ann", HIDDEN, HIDDEN, HIDDEN]
    assert found.shown({"PIN": 1, "a": [{"token": {"x": 1}}], "b": 2}) == {
        "PIN": HIDDEN,
        "a": [{"token": HIDDEN}],
        "b": 2,
    }
    assert told((), {"iban"}, ["user"]) == {}


@pytest.mark.parametrize(
    "header", [{"hidden": 7}, {"hidden": {"a": 1}}, {"hidden": [None, 1.5, True, ["x"]]}, "no headers"]
)
def test_a_header_from_anybody_does_no_harm(header: object) -> None:
    assert hiding((), header, None, 2).args(["a", "b"]) == ["a", "b"]


def test_what_was_hidden_and_comes_back_edited_is_as_it_was() -> None:
    found = Hiding(frozenset({"pin"}), frozenset({1}))
    old = {"pin": "4711", "user": "ann", "more": {"token": "t", "n": 1}}
    assert found.restored({"pin": HIDDEN, "user": "bob", "more": {"token": HIDDEN, "n": 2}}, old) == {
        "pin": "4711", "user": "bob", "more": {"token": "t", "n": 2}
    }  # fmt: skip
    assert found.restored({"user": HIDDEN}, old) == {"user": HIDDEN}, "nobody has hidden that"
    assert found.restored_args(["a", HIDDEN, HIDDEN], ["b", "c"]) == ["a", "c", HIDDEN]


def test_texts_lose_the_secrets_that_stand_in_them() -> None:
    found = Hiding(frozenset({"pin"}), frozenset({0}))
    secrets = found.secrets(["top-secret", "plain"], {"pin": ["4711", "12"], "user": "ann"})
    assert secrets == {"top-secret", "4711"}
    assert without(secrets, "ann: top-secret, 4711, 12, plain") == "ann: ***, ***, 12, plain"


@pytest.mark.parametrize("wrong", ["password", 7, [1], [""], None])
def test_what_cannot_be_names_is_refused(wrong: object) -> None:
    app = Distq("app")
    with pytest.raises(ConfigurationError, match="sensitive="):
        app.task(type="job", sensitive=wrong)(lambda: None)  # type: ignore[call-overload]
