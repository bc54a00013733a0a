"""Which calls are meant by their arguments, or by the task that has enqueued them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distq.context import PARENT, id_in
from distq.facts import declared, shown_call
from distq.message import Message, parse

if TYPE_CHECKING:
    from distq.app import Distq

Shown = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True)
class Sought:
    """Arguments such as `user_id:42`, by their names in the call or, where the application declares its type and
    version, in the function. They are compared as they are shown, as JSON or as text: what is hidden cannot be
    guessed."""

    app: Distq
    arguments: Sequence[tuple[str, str]] = ()
    parent: str = ""
    shown: Shown | None = None
    """A call as whoever asks may see it."""

    def __bool__(self) -> bool:
        """Whether it does not mean all."""
        return bool(self.arguments or self.parent)

    def __call__(self, message: Message) -> bool:
        """Whether this one is meant."""
        try:
            args, kwargs, headers = self.app.codec.unpack_call(message.body)
        except ValueError:
            return False
        if self.parent and id_in(headers, PARENT) != self.parent:
            return False
        if not self.arguments:
            return True
        task = declared(self.app, message.type)
        names = list(task.signature.parameters) if task is not None else []
        call = {"type": message.type, "args": args, "kwargs": kwargs, "headers": headers}
        shown = shown_call(self.app, message.type, args, kwargs, headers) if self.shown is None else self.shown(call)
        values = dict(zip(names, shown["args"], strict=False)) | shown["kwargs"]
        return all(name in values and _text(values[name]) == said for name, said in self.arguments)

    def of_bytes(self, raw: bytes) -> bool:
        """The same of a message as it travels."""
        try:
            return self(parse(raw))
        except ValueError:
            return False


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
