"""Tasks for tests of the HTTP API."""

from __future__ import annotations

from typing import Any

from distq import Distq
from tests.support.gates import pass_gate

app = Distq("app", timeout=2)
app.queue("mail")


@app.task
def add(a: int, b: int = 0) -> int:
    return a + b


@app.task(history="1h")
def echo(value: Any = None, **more: Any) -> Any:
    return value if not more else {"value": value, **more}


@app.task(max_pending=2)
def narrow(number: int) -> int:
    return number


@app.task(queue="mail", retries=0)
def fail(text: str, kind: str = "ValueError") -> str:
    if text == "well":
        return "done"
    raise {"ValueError": ValueError, "LookupError": LookupError}[kind](text)


@app.task
def hold(gate: str) -> str:
    """Runs until a file of this name exists."""
    pass_gate(gate)
    return "held"


@app.periodic("@hourly")
def hourly() -> None: ...


@app.task(unique="user")
def sync(user: str) -> str:
    return user


@app.task(unique="user", on_duplicate="raise")
def strict(user: str) -> str:
    return user


@app.task(result_ttl=0)
def silent() -> None: ...


@app.task(retries=0)
def log_in(user: str, password: str) -> str:
    if user == "nobody":
        raise PermissionError(f"not with {password}")
    return f"{user} with {password}"


maps = app.budget("maps", "60/m burst 10", "1000 bytes/m")
model = app.budget("model", "60/m burst 10", per="user")


@app.task(rate=["50/s", "5/s per user"], limits=[model])
def geo(user: str) -> str:
    return user


@app.task(ordered="user", retries=0)
def turn(user: str, text: str = "") -> str:
    if text:
        raise ValueError(text)
    return user
