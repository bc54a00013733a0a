"""The next release of `rolling`: it knows one more type."""

from __future__ import annotations

from tests.support.apps.rolling import app


@app.task(type="only-the-newer-knows")
def newer() -> str:
    return "newer"
