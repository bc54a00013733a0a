"""The types that the application declares, with what a form needs to call one."""

from __future__ import annotations

import inspect
import typing
from typing import Any, Literal, get_args, get_origin

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from distq.server.site import READS, Site, answer, site_of
from distq.task import Task

router = APIRouter(prefix="/types", tags=["types"])

MOST_DOC = 2000
_KINDS: dict[object, str] = {str: "text", int: "whole", float: "number", bool: "flag"}
_MANY: dict[object, str] = {inspect.Parameter.VAR_POSITIONAL: "positional", inspect.Parameter.VAR_KEYWORD: "keyword"}
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)


class Parameter(BaseModel):
    """One parameter of a task's function. `many`: it takes all further arguments."""

    name: str
    kind: Literal["text", "whole", "number", "flag", "choice", "json"]
    choices: list[Any]
    required: bool
    default: Any
    many: Literal["", "positional", "keyword"]
    positional: bool
    annotation: str


class DeclaredType(BaseModel):
    """A declared type of task."""

    type: str
    queue: str
    doc: str
    history: str
    """Which completed ones are kept: "the last 1,000", "7 d"; "": its type has no history."""
    parameters: list[Parameter]


class DeclaredTypes(BaseModel):
    """All types that the application declares."""

    types: list[DeclaredType]


@router.get("", responses={200: {"model": DeclaredTypes}, **READS})
def every(request: Request) -> Response:
    """All types with their parameters: types, defaults, documentation."""
    site = site_of(request)
    return answer({"types": [_told(site, task) for _, task in sorted(site.app.tasks.items())]})


def _told(site: Site, task: Task[Any, Any, Any]) -> dict[str, Any]:
    hints = _hints(task)
    return {
        "type": task.type,
        "queue": task.declaration.queue,
        "doc": (inspect.getdoc(task.function) or "")[:MOST_DOC],
        "history": str(task.history or ""),
        "parameters": [_parameter(site, one, hints) for one in task.signature.parameters.values()],
    }


def _hints(task: Task[Any, Any, Any]) -> dict[str, Any]:
    """Annotations as types, where they can be found: a name may be known to type checkers alone."""
    try:
        return typing.get_type_hints(task.function)
    except Exception:
        return {}


def _parameter(site: Site, one: inspect.Parameter, hints: dict[str, Any]) -> dict[str, Any]:
    is_bare, many = one.default is inspect.Parameter.empty, _MANY.get(one.kind, "")
    kind, choices = _kind(hints.get(one.name, one.annotation))
    return {
        "name": one.name,
        "kind": "json" if many else kind,
        "choices": site.shown(choices),
        "required": is_bare and not many,
        "default": None if is_bare else site.shown(one.default),
        "many": many,
        "positional": one.kind in _POSITIONAL,
        "annotation": "" if one.annotation is inspect.Parameter.empty else _text(one.annotation),
    }


def _kind(annotation: object) -> tuple[str, list[Any]]:
    """The field of a form for values of this type; what is not plain is written as JSON."""
    if get_origin(annotation) is Literal:
        return "choice", list(get_args(annotation))
    return (_KINDS.get(annotation, "json") if isinstance(annotation, type) else "json"), []


def _text(annotation: object) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
