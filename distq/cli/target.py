"""Which application a command is about: `--app module:app`, or a broker and the application's name."""

from __future__ import annotations

import typer

from distq.app import Distq
from distq.broker.connect import mask, resolve_url
from distq.broker.inspect import applications
from distq.errors import ConfigurationError
from distq.loader import load

App = typer.Option(None, "--app", envvar="DISTQ_APP", metavar="MODULE:APP", help="The application, imported from here.")
Broker = typer.Option(
    None, "--broker", metavar="URL", help="The broker. [default: $DISTQ_BROKER, $REDIS_URL, $REDIS_ADDR, localhost]"
)
Name = typer.Option(None, "--name", help="The application's name on the broker, if there are several and no --app.")

TIMEOUT_S = 2.0


def find_app(app: str | None, broker: str | None, name: str | None) -> Distq:
    """The application to act on. Without its code, the one that the broker knows."""
    if app:
        found = load(app)
        if broker:
            found.rebind(broker)
        found.broker.timeout = found.broker.exchange.timeout = TIMEOUT_S
        return found
    url = resolve_url(broker)
    known = applications(url, TIMEOUT_S)
    if name is None:
        if len(known) > 1:
            raise ConfigurationError(
                f"several applications are on {mask(url)}: {', '.join(known)}; choose with --name or --app"
            )
        if not known:
            raise ConfigurationError(f"no application has used {mask(url)} yet; name one with --app or --name")
        name = next(iter(known))
    found = Distq(name, url, timeout=TIMEOUT_S)
    for queue in known.get(name, ()):
        found.queue(queue)
    return found
