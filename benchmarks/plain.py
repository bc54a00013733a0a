"""The measured tasks without metrics and without a log: what these cost is the difference."""

from __future__ import annotations

from benchmarks.tasks import app
from distq.middleware.logging import LogAttempts
from distq.middleware.metrics import Metrics

__all__ = ["app"]

app.middleware[:] = [link for link in app.middleware if not isinstance(link, LogAttempts | Metrics)]
