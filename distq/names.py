"""The names of options: which exist, and what is meant by others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from distq.errors import UnknownOption, did_you_mean

ELSEWHERE = {
    "name": "type",
    "countdown": "delay",
    "max_retries": "retries",
    "task_id": "id",
    "job_id": "id",
    "rate_limit": "rate",
    "ttl": "expires",
    "result_expires": "result_ttl",
    "run_at": "eta",
    "schedule": "eta",
    "at": "eta",
    "max_attempts": "retries",
    "concurrency": "slots",
    "max_concurrency": "slots",
    "concurrency_limit": "slots",
    "delivery_limit": "max_deliveries",
    "timeout": "time_limit",
    "job_timeout": "time_limit",
    "execution_timeout": "time_limit",
    "soft_timeout": "soft_time_limit",
    "unique_by": "unique",
    "unique_key": "unique",
    "dedupe": "unique",
    "deduplication": "unique",
    "max_length": "max_pending",
    "maxsize": "max_pending",
    "overflow": "on_full",
}
"""What other task queues call it -> what it is called here."""


def check_names(options: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """Raises UnknownOption for an option that does not exist."""
    names = list(known)
    for name in options:
        if name not in names:
            meant = ELSEWHERE.get(name)
            hint = f" (did you mean `{meant}`?)" if meant in names else did_you_mean(name, names)
            raise UnknownOption(f"{where} has no option `{name}`{hint}; there are: {', '.join(sorted(names))}")
