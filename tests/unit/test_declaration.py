"""Declaring: what `Distq` and `@app.task` take and refuse, and binding that is quick but never other than Python's."""

from __future__ import annotations

import functools
import inspect
import re
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from inspect import Parameter, Signature
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distq import ConfigurationError, Distq, DuplicateTask, Middleware, Retry, UnknownOption, UnknownQueue
from distq.errors import NotSerializable
from distq.options import RetryRule
from distq.task import binder

NOWHERE = "unix:///nonexistent/distq.sock"
"""Nothing here talks to a broker."""


@pytest.fixture
def app() -> Distq:
    return Distq("shop", NOWHERE)


# -- the application ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Distq("my shop"), "the application's name 'my shop' is no valid name"),
        (lambda: Distq("shop", timeout=0), "timeout=0: give a time above 0"),
        (lambda: Distq("shop", timeout="soon"), "timeout='soon' is no duration"),
        (lambda: Distq("shop", max_payload=1023), "max_payload=1023: give a number of bytes, at least 1024"),
        (lambda: Distq("shop", max_payload=True), "max_payload=True: give a number of bytes"),
        (lambda: Distq("shop", retires=3), "Distq() has no option `retires` (did you mean `retries`?)"),  # type: ignore[call-arg]
        (lambda: Distq("shop", retries=-1), "retries=-1: give a whole number from 0 to 1000"),
        (lambda: Distq("shop", middleware=[5]), "5 is no middleware"),  # type: ignore[list-item]
        (lambda: Distq("shop", "localhost"), "broker 'localhost' is no address of a broker"),
    ],
)
def test_wrong_application(make: Callable[[], Distq], message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        make()


def test_application_shows_no_password() -> None:
    assert repr(Distq("shop", "redis://u:s3cret@h/1")) == "<Distq 'shop' at redis://u:***@h/1>"


def test_making_an_application_does_not_connect(app: Distq) -> None:
    assert "broker" not in vars(app)


# -- tasks -------------------------------------------------------------------------------------------------------------


def add(x: int, y: int = 1) -> int:
    """Adds."""
    return x + y


def test_a_task_is_still_its_function(app: Distq) -> None:
    task = app.task(add)
    assert task(2) == 3
    assert (task.__name__, task.__doc__, task.__wrapped__) == ("add", "Adds.", add)
    assert inspect.signature(task) == inspect.signature(add)
    assert (repr(task), app.tasks) == ("<Task add>", {"add": task})


def test_options_in_brackets(app: Distq) -> None:
    task = app.task(type="shop.add", queue="math")(add)
    assert (task.type, task.declaration.queue) == ("shop.add", "math")
    assert "math" in app.queues


def test_async_def_is_recognized(app: Distq) -> None:
    @app.task
    async def wait() -> None: ...

    assert wait.is_async
    assert not app.task(add).is_async


def test_a_method_is_no_task(app: Distq) -> None:
    with pytest.raises(ConfigurationError, match=r"Service\.run is a method, and nobody would give it its object"):

        class Service:
            @app.task
            def run(self, x: int) -> int:
                return x


def test_a_function_that_stands_in_a_class_is_one(app: Distq) -> None:
    class Service:
        @staticmethod
        @app.task
        def run(x: int) -> int:
            return x

    assert Service.run(2) == 2


async def slow(context: Any, call_next: Any) -> Any:
    return call_next(context)


class Slow(Middleware):
    async def enqueue(self, outgoing: Any, call_next: Any) -> Any:
        return call_next(outgoing)


@pytest.mark.parametrize("link", [slow, Slow()])
def test_a_middleware_is_a_plain_function(link: Any) -> None:
    with pytest.raises(ConfigurationError, match="is async: a middleware is a plain function"):
        Distq("shop", middleware=[link])


class Adder:
    def __call__(self, x: int) -> int:
        return x

    def method(self, x: int) -> int:
        return x


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (Adder(), (2,)),
        (Adder().method, (2,)),
        (functools.partial(add, 1), ()),
        (functools.partial(functools.partial(add), 1), ()),
    ],
)
def test_other_callables_are_tasks_too(function: Callable[..., Any], args: tuple[int, ...], app: Distq) -> None:
    assert app.task(type="adder")(function)(*args) == function(*args)


def generate() -> Iterator[int]:
    yield 1


async def agenerate() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (5, "@app.task is for functions, not for 5"),
        ("add", "@app.task is for functions, not for 'add'"),
        (Adder, "@app.task is for functions, not for <class"),
        (vars(Distq), "@app.task is for functions"),
        (lambda: 1, "a lambda has no name that could be its type: give type="),
        (max, "<built-in function max> does not tell its parameters; call it in a function of yours"),
        (generate, "generate is a generator: calling it runs nothing; return a list instead"),
        (agenerate, "agenerate is a generator: calling it runs nothing; return a list instead"),
    ],
)
def test_things_that_are_no_task(thing: Any, message: str, app: Distq) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        app.task(thing)
    assert app.tasks == {}


def test_wrong_option_of_a_task(app: Distq) -> None:
    with pytest.raises(UnknownOption, match=r"@app\.task has no option `retry`"):
        app.task(retry=3)(add)  # type: ignore[call-overload]


def test_two_handlers_of_one_type(app: Distq) -> None:
    app.task(add)
    with pytest.raises(DuplicateTask, match=r"type 'add' is declared twice: by .*\.add and by .*\.generous; give one"):

        @app.task(type="add")
        def generous() -> None: ...

    assert app.tasks["add"].function is add


def test_one_function_can_be_two_types(app: Distq) -> None:
    app.task(add)
    app.task(type="sum")(add)
    assert list(app.tasks) == ["add", "sum"]


def test_two_applications_do_not_meet(app: Distq) -> None:
    app.task(add)
    Distq("other", NOWHERE).task(add)


# -- queues ------------------------------------------------------------------------------------------------------------


def test_a_queue_gives_defaults_to_its_tasks(app: Distq) -> None:
    assert app.queue("mail", retries=7) == "mail"
    assert app.task(queue="mail")(add).retries_of({}) == 7


def test_an_application_gives_defaults_to_all() -> None:
    app = Distq("shop", NOWHERE, retries=9, result_ttl=5)
    task = app.task(add)
    assert (task.retries_of({}), task.result_ttl_s()) == (9, 5)


def test_a_queue_that_is_declared_after_its_task_counts_too(app: Distq) -> None:
    task = app.task(queue="mail")(add)
    app.queue("mail", retries=7)
    assert task.retries_of({}) == 7


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda app: app.queue("a b"), "queue 'a b' is no valid name"),
        (lambda app: app.queue("mail", rate="1/s"), "app.queue has no option `rate`"),
        (lambda app: app.queue("mail", retries="3"), "retries='3': give a whole number"),
        (lambda app: app.queue("mail/1"), "queue 'mail/1' is no valid name"),
        (lambda app: app.queue("mail", partitions=0), "partitions=0: give a whole number from 1 to 64"),
        (lambda app: app.queue("mail", partitions=65), "partitions=65: give a whole number from 1 to 64"),
        (lambda app: app.queue("mail", partitions=True), "partitions=True: give a whole number"),
        (lambda app: app.queue("mail", partition=2), "did you mean `partitions`?"),
    ],
)
def test_wrong_queue(declare: Callable[[Distq], str], message: str, app: Distq) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        declare(app)
    assert list(app.queues) == ["default"]


def test_call_into_a_queue_that_is_not_declared(app: Distq) -> None:
    with pytest.raises(UnknownQueue, match="queue='mial' is not declared"):
        app.task(add).options(queue="mial")


# -- calls fail in the caller ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "add(): missing a required argument: 'x'"),
        ((1, 2, 3), {}, "add(): too many positional arguments"),
        ((1,), {"z": 2}, "add(): got an unexpected keyword argument 'z'"),
        ((1,), {"x": 2}, "add(): multiple values for argument 'x'"),
    ],
)
def test_wrong_arguments(args: tuple[int, ...], kwargs: dict[str, int], message: str, app: Distq) -> None:
    task = app.task(add)
    with pytest.raises(TypeError, match=re.escape(message)):
        task.delay(*args, **kwargs)


def test_the_stack_of_wrong_arguments_begins_at_the_caller(app: Distq) -> None:
    task: Any = app.task(add)
    with pytest.raises(TypeError) as caught:
        task.delay()
    assert traceback.extract_tb(caught.tb)[0].line == "task.delay()"


def test_arguments_that_cannot_travel_are_refused_before_anything_is_sent(app: Distq) -> None:
    sender: Any = app.task(add).options()
    with pytest.raises(NotSerializable, match=r"args\[0\]: object is not serializable"):
        sender._pack((object(),), {}, {})


def names_of(parameters: list[Parameter]) -> list[str]:
    return [parameter.name for parameter in parameters]


@st.composite
def signatures(draw: st.DrawFn) -> Signature:
    """Any signature that Python allows, of up to five parameters."""
    kinds = sorted(draw(st.lists(st.sampled_from(list(inspect._ParameterKind)), max_size=5)))
    parameters: list[Parameter] = []
    has_default = False
    for name, kind in zip("abcde", kinds, strict=False):
        if kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
            if kind not in [parameter.kind for parameter in parameters]:
                parameters.append(Parameter(name, kind))
            continue
        default = draw(st.booleans())
        if kind is not Parameter.KEYWORD_ONLY:
            has_default = default = default or has_default
        parameters.append(Parameter(name, kind, default=0 if default else Parameter.empty))
    return Signature(parameters)


def fits(bind: Callable[..., object], *given: object) -> bool:
    try:
        bind(*given)
    except TypeError:
        return False
    return True


@given(signatures(), st.integers(0, 6), st.sets(st.sampled_from("abcdef")))
@settings(max_examples=300)
def test_binding_is_as_python_binds(signature: Signature, positional: int, keywords: set[str]) -> None:
    args, kwargs = (1,) * positional, dict.fromkeys(keywords, 2)
    expected = fits(lambda: signature.bind(*args, **kwargs))
    assert fits(binder(signature, "job"), args, kwargs) == expected


# -- retry rules -------------------------------------------------------------------------------------------------------


class Late(TimeoutError):
    pass


RULES: dict[type[BaseException], int | RetryRule] = {
    OSError: 5,
    TimeoutError: RetryRule(9, backoff=2),
    KeyError: 0,
    Retry: 8,
}


@pytest.mark.parametrize(
    ("error", "retries"),
    [
        (OSError(), 5),
        (ConnectionError(), 5),
        (TimeoutError(), 9),
        (Late(), 9),
        (KeyError(), 0),
        (Retry(), 8),
        (ValueError(), 3),
        (LookupError(), 3),
    ],
    ids=repr,
)
def test_the_nearest_class_has_the_rule(error: BaseException, retries: int, app: Distq) -> None:
    assert app.task(retry_rules=RULES)(add).rule_for(error, {}).retries == retries


@pytest.mark.parametrize(
    ("headers", "retries"), [({}, 4), ({"retries": 1}, 1), ({"retries": 0}, 0), ({"retries": "x"}, 4)]
)
def test_retries_of_a_call_come_first(headers: dict[str, Any], retries: int, app: Distq) -> None:
    task = app.task(retries=4)(add)
    assert task.retries_of(headers) == task.rule_for(ValueError(), headers).retries == retries
