"""The tree of errors: drawn once, and true."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

import distq
from distq import errors
from distq.errors import DistqError, TaskError, TaskFailed, did_you_mean

CLASSES = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, DistqError)]


def drawn() -> dict[str, str]:
    """Each class in the module's drawing, with the one that it hangs from."""
    tree: dict[str, str] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ([│ ]*)(?:[├└]── )?([A-Z]\w+)(?:  |$)", line)
        if match:
            depth = len(match[1]) // 4 + ("──" in line)
            above[depth:] = [match[2]]
            tree[match[2]] = above[depth - 1] if depth else "Exception"
    return tree


def test_the_drawing_is_the_tree() -> None:
    assert drawn() == {cls.__name__: cls.__bases__[0].__name__ for cls in CLASSES}


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_says_what_it_means(cls: type[DistqError]) -> None:
    assert cls.__doc__
    assert cls.__doc__ != DistqError.__doc__ or cls is DistqError


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_is_public(cls: type[DistqError]) -> None:
    assert getattr(distq, cls.__name__) is cls


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("NotSerializable", TypeError),
        ("PayloadTooLarge", ValueError),
        ("UnknownQueue", ValueError),
        ("BrokerUnavailable", ConnectionError),
        ("ResultTimeout", TimeoutError),
    ],
)
def test_errors_that_are_also_builtin_ones(name: str, builtin: type[Exception]) -> None:
    assert issubclass(getattr(errors, name), builtin)


def test_task_error_knows_its_task() -> None:
    assert (TaskError("gone", id="mail.1").id, str(TaskError("gone", id="mail.1"))) == ("mail.1", "gone")


def test_task_failed_carries_what_the_worker_saw() -> None:
    error = TaskFailed(id="mail.1", type="ValueError", message="bad", traceback="Traceback …")
    assert (error.id, error.type, error.message, error.traceback) == ("mail.1", "ValueError", "bad", "Traceback …")
    assert str(error) == "ValueError: bad"


def test_task_failed_without_a_message() -> None:
    assert str(TaskFailed(id="mail.1", type="ValueError", message="")) == "ValueError"


@pytest.mark.parametrize(
    "error",
    [TaskFailed(id="mail.1", type="ValueError", message="bad", traceback="t"), TaskError("gone", id="mail.1")],
    ids=repr,
)
def test_errors_travel_between_processes(error: TaskError) -> None:
    """A program may call `.get()` in a process pool."""
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize(("word", "hint"), [("prioriti", " (did you mean `priority`?)"), ("zzz", ""), ("", "")])
def test_hints(word: str, hint: str) -> None:
    assert did_you_mean(word, ["priority", "rate"]) == hint
