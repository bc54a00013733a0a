"""Which budget an attempt parks, and for which key: what stands beside its verdict."""

from __future__ import annotations

import logging

import msgpack

from distq.amounts import Terms
from distq.broker.verdicts import verdict
from distq.context import Context
from distq.flow import budget_key
from distq.outcome import RateLimited, Verdict

logger = logging.getLogger("distq.worker")


def snoozed(context: Context, type: str, decided: Verdict) -> bytes:
    """The verdict on an attempt that has raised RateLimited, in wire form."""
    beside = b"" if decided.limited is None else _parked(context, decided.limited)
    return verdict(context.entry, b"snooze", type.encode(), decided.delay_ms, beside)


def _parked(context: Context, limited: RateLimited) -> bytes:
    """The budget and its key, as the scripts read them; nothing if none can be."""
    terms = limited.terms
    from distq.budget import key_said  # noqa: PLC0415 (for those who have budgets)

    try:
        if terms.queue != context.queue:
            raise ValueError(f"it is in queue {terms.queue!r}, and the task in {context.queue!r}")
        key = key_said(terms, limited.key) if limited.key is not None else _own_key(context, terms)
    except Exception as error:
        logger.error("%s %s: budget %s cannot be parked: %s", context.type, context.id, terms.name, error)
        return b""
    packed: bytes = msgpack.packb([terms.name, key])
    return packed


def _own_key(context: Context, terms: Terms) -> str:
    """That under which the call has paid; of one that has not, what its arguments give."""
    flow = context.message.flow
    for name, key, *_ in msgpack.unpackb(flow, unicode_errors="replace").get("b", ()) if flow else ():
        if name == terms.name:
            return str(key)
    bound = context.task.signature.bind(*context.args, **context.kwargs)
    bound.apply_defaults()
    return budget_key(terms.key, bound.arguments)
