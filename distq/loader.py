"""From `module:attribute` to an application, or to an error that says what is wrong with it."""

from __future__ import annotations

import importlib
import os
import sys
import traceback

from distq.app import Distq
from distq.errors import ConfigurationError, LoadError, did_you_mean


def load(target: str, import_path: str = ".") -> Distq:
    """The application that `target` names; `import_path` is put in front of sys.path.

    Raises LoadError: no such module, an error while it is imported (with the place), no such attribute, not a Distq.
    """
    module_name, colon, attribute = target.partition(":")
    if not module_name or module_name.endswith(".py") or "/" in module_name:
        hint = module_name.removesuffix(".py").replace("/", ".").strip(".") or "module"
        raise LoadError(f"{target!r} is no module:app; did you mean {hint + ':' + (attribute or 'app')!r}?")
    path = os.path.abspath(import_path)
    if path not in sys.path:
        sys.path.insert(0, path)
    try:
        module = importlib.import_module(module_name)
    except ConfigurationError as error:
        raise LoadError(f"{module_name}: {error} {_place(error)}") from error
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        if module_name == missing or module_name.startswith(f"{missing}."):
            raise LoadError(f"no module {missing!r} in {path} or on sys.path (looking for {target!r})") from error
        raise LoadError(f"{module_name} cannot be imported: {error} {_place(error)}") from error
    except Exception as error:
        raise LoadError(f"{module_name} cannot be imported: {type(error).__name__}: {error} {_place(error)}") from error
    except SystemExit as error:
        raise LoadError(f"{module_name} called sys.exit({error.code!r}) while it was imported") from error
    return _application(module, module_name, attribute if colon else "")


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
        raise LoadError(f"{module_name}:{attribute} is a {type(found).__name__}, not a Distq application")
    return found


def _place(error: BaseException) -> str:
    """The last place of the traceback that lies in the user's code."""
    if isinstance(error, SyntaxError):
        return f"({error.filename}:{error.lineno})"
    here = os.path.dirname(__file__) + os.sep
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith((here, "<frozen"))]
    return f"({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
