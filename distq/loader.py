"""From `module:attribute` to an application, or to an error that says what is wrong with it."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import sysconfig
import traceback
from pathlib import Path

from distq.app import Distq
from distq.errors import ConfigurationError, LoadError, did_you_mean

logger = logging.getLogger("distq.loader")


def load(target: str, import_path: str = ".") -> Distq:
    """The application that `target` names; `import_path` is put in front of sys.path.

    Raises LoadError: no such module, an error while it is imported (with the place), no such attribute, not a Distq.
    The whole traceback of an import is logged at DEBUG.
    """
    module_name, colon, attribute = target.partition(":")
    _check_form(target, module_name, attribute)
    path = os.path.abspath(import_path)
    if path not in sys.path:
        sys.path.insert(0, path)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        logger.debug("the import of %s failed", module_name, exc_info=True)
        raise LoadError(_explain(error, target, module_name, path)) from error
    return _application(module, module_name, attribute if colon else "")


def _check_form(target: str, module_name: str, attribute: str) -> None:
    if module_name and not module_name.startswith(".") and not module_name.endswith(".py") and "/" not in module_name:
        return
    hint = module_name.removesuffix(".py").strip("./").replace("/", ".") or "module"
    raise LoadError(f"{target!r:.120} is no module:app; did you mean {hint + ':' + (attribute or 'app')!r:.120}?")


def _explain(error: BaseException, target: str, module_name: str, path: str) -> str:
    if isinstance(error, SystemExit):
        return f"{module_name} called sys.exit({error.code!r}) while it was imported {_place(error)}"
    if isinstance(error, SyntaxError) and error.filename:
        return f"{module_name} cannot be imported: {type(error).__name__}: {error.msg} {_place(error)}"
    if isinstance(error, ConfigurationError):
        return f"{module_name}: {error} {_place(error)}"
    if isinstance(error, ModuleNotFoundError):
        missing = error.name or module_name
        if module_name == missing or module_name.startswith(f"{missing}."):
            hint = did_you_mean(missing, _modules(path))
            return f"no module {missing!r} in {path} or on sys.path (looking for {target!r}){hint}"
        return f"{module_name} cannot be imported: {error} {_place(error)}"
    return f"{module_name} cannot be imported: {type(error).__name__}: {error} {_place(error)}"


def _modules(path: str) -> list[str]:
    """Names that could be imported from this folder."""
    try:
        found = list(Path(path).iterdir())
    except OSError:
        return []
    return [item.stem for item in found if item.suffix == ".py" or (item / "__init__.py").is_file()]


def _application(module: object, module_name: str, attribute: str) -> Distq:
    applications = [name for name, value in vars(module).items() if isinstance(value, Distq)]
    if not attribute:
        attribute = "app" if "app" in applications or len(applications) != 1 else applications[0]
    found: object = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            hint = did_you_mean(part, applications) or (f" (it has: {', '.join(applications)})" if applications else "")
            raise LoadError(f"module {module_name} has no {attribute!r}{hint}")
        found = getattr(found, part)
    if not isinstance(found, Distq):
        raise LoadError(f"{module_name}:{attribute} is of type {type(found).__name__}, not a Distq application")
    return found


def _place(error: BaseException) -> str:
    """The last place of the traceback that lies in the user's code, rather than in a library."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"({error.filename}:{error.lineno})"
    here = os.path.dirname(__file__) + os.sep
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith((here, "<"))]
    libraries = tuple(sysconfig.get_path(name) + os.sep for name in ("stdlib", "purelib", "platlib"))
    own = [frame for frame in frames if not frame.filename.startswith(libraries)]
    last = (own or frames)[-1:]
    return f"({last[0].filename}:{last[0].lineno})" if last else ""
