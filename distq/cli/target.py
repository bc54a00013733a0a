"""Which application a command is about: `--app module:app`, or a broker and the application's name."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass

import typer

from distq.app import Distq
from distq.broker.address import mask, resolve_url
from distq.broker.connect import Wire
from distq.broker.inspect import applications, in_use
from distq.cli import complete, values
from distq.errors import ConfigurationError, did_you_mean
from distq.loader import load
from distq.message import family

App = typer.Option(
    None, "--app", envvar="DISTQ_APP", metavar="MODULE:APP", help="The application, imported from the current folder."
)
Broker = typer.Option(
    None, "--broker", metavar="URL", help="The broker. [default: $DISTQ_BROKER, $REDIS_URL, $REDIS_ADDR, localhost]"
)
Name = typer.Option(
    None,
    "--name",
    envvar="DISTQ_NAME",
    metavar="NAME",
    autocompletion=complete.names,
    help="The application's name on the broker, if there are several and no --app.",
)

TIMEOUT_S = 2.0


@dataclass(frozen=True)
class Place:
    """Where a command acts."""

    app: str | None = App
    broker: str | None = Broker
    name: str | None = Name

    def find(self, *, may_be_new: bool = False) -> Distq:
        """The application there."""
        return find_app(self.app, self.broker, self.name, may_be_new=may_be_new)


def find_app(app: str | None, broker: str | None, name: str | None, *, may_be_new: bool = False) -> Distq:
    """The application to act on. Without its code, the one that the broker knows; `may_be_new`: or does not yet."""
    values.given(broker, "--broker")
    values.given(name, "--name")
    if app:
        found = load_quietly(app)
        if name not in (None, found.name):
            raise ConfigurationError(
                f"--name {name}: {app} (--app, $DISTQ_APP) is called {found.name}; give one of them"
            )
        if broker:
            found.rebind(broker)
        found.broker.timeout = found.broker.exchange.timeout = TIMEOUT_S
        _reach(found.url)
        return found
    url = resolve_url(broker)
    _reach(url)
    known = applications(url, TIMEOUT_S)
    if name is None:
        name = _only_one(known, url)
    elif name not in known and not may_be_new:
        there = f"there are: {', '.join(known)}" if known else "there is none yet"
        raise ConfigurationError(f"no application {name!r} on {mask(url)}{did_you_mean(name, known)}; {there}")
    found = Distq(name, url, timeout=TIMEOUT_S)
    for queue in known.get(name, ()):
        with contextlib.suppress(ConfigurationError):  # somebody else has written a name that is none
            found.queue(family(queue))
    return found


def _reach(url: str) -> None:
    """Raises BrokerUnavailable at once: later calls try again for a while, here somebody waits for the reason."""
    Wire(url, timeout=TIMEOUT_S, name="distq-cli").close()


def _only_one(known: dict[str, list[str]], url: str) -> str:
    if not known:
        raise ConfigurationError(f"no application has used {mask(url)} yet; name one with --app or --name")
    if len(known) == 1:
        return next(iter(known))
    candidates = in_use(url, TIMEOUT_S, known) or list(known)
    if len(candidates) > 1:
        raise ConfigurationError(
            f"several applications are on {mask(url)}: {', '.join(candidates)}; "
            "choose with --name ($DISTQ_NAME) or --app"
        )
    return candidates[0]


def load_quietly(app: str) -> Distq:
    """The application; what its modules print while they are imported is not the output of the command."""
    with contextlib.redirect_stdout(sys.stderr):
        return load(app)
