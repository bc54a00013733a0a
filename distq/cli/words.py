"""Commands whose options are taken as they were written: what a word means is checked at our door (`values`).

The parser's own way is a pydantic model of each option: importing that and building them takes longer than all the rest
of a short command, and a third of the start of a worker host (docs/decisions/0069).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

TEXT = (str, str | None)


class _AsWritten:
    """What the parser asks for the value of an option. What is neither text nor a switch goes the parser's way."""

    def __init__(self, param: Any) -> None:
        self._is_text = param.type_descriptor.annotation in TEXT and not param.multiple and param.nargs == 1
        self._usual: Callable[[], Any] = param.get_runtime_param

    def coerce(self, value: Any, **context: Any) -> Any:
        """The word itself; a switch of the environment is a word that the parser reads."""
        return value if self._is_text or isinstance(value, bool | None) else self._usual().coerce(value, **context)


class _Words:
    """What commands and groups of them have in common."""

    def get_params(self, ctx: Any) -> Any:
        """All options, --help among them, each with our way to take its value."""
        params = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if "get_runtime_param" not in vars(param):
                taken = _AsWritten(param)
                param.get_runtime_param = lambda taken=taken: taken
        return params


class Command(_Words, TyperCommand):
    """One command."""


class Group(_Words, TyperGroup):
    """A group of them."""


class Commands(typer.Typer):
    """Where commands are added to a group."""

    def __init__(self, *, cls: type[TyperGroup] = Group, **said: Any) -> None:
        super().__init__(cls=cls, **said)

    if not TYPE_CHECKING:  # a type checker sees that of the parser, which says more of the function

        def command(self, name: str | None = None, **said: Any) -> Any:
            """Adds one."""
            return super().command(name, cls=Command, **said)
