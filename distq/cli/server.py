"""`distq server`: the HTTP API of an application."""

from __future__ import annotations

import os
from importlib.util import find_spec

import typer

from distq.cli import output, run, settings, values
from distq.cli.beside import NEEDED
from distq.cli.groups import grouped
from distq.cli.host import PortUnavailable
from distq.cli.settings import Log
from distq.cli.target import load_quietly
from distq.errors import ConfigurationError

EXAMPLES = output.examples(
    "distq server myapp:app",
    "DISTQ_API_KEYS='shop operate KEY, ops admin KEY' distq server myapp:app --host 0.0.0.0",
    "distq server myapp:app --keys FILE --port 8081 --environment production",
)

MOST_NAME = 40

Host = typer.Option(
    "127.0.0.1",
    "--host",
    metavar="ADDRESS",
    envvar="DISTQ_SERVER_HOST",
    help="The address to listen on. Others than those of this machine need an API key.",
)
Port = typer.Option("8081", "--port", metavar="PORT", envvar="DISTQ_SERVER_PORT", help="The port; 0: a free one.")
KeysFile = typer.Option(
    None,
    "--keys",
    metavar="FILE",
    envvar="DISTQ_API_KEYS_FILE",
    help="API keys, one a line: name, level (read, operate or admin), key, and perhaps a rate such as 100/s.",
)
UnknownTypes = typer.Option(
    False, "--unknown-types", help="Also enqueue types that the application does not declare, unchecked."
)
Redact = typer.Option(
    None,
    "--redact",
    metavar="A,B",
    envvar="DISTQ_REDACT",
    help="Names of arguments, and of keys in them, whose values are never shown.",
)
Environment = typer.Option(
    None,
    "--environment",
    metavar="NAME",
    envvar="DISTQ_ENVIRONMENT",
    help="What the dashboard calls this place, such as production or staging.",
)


@grouped
def server(
    target: str = settings.Target,
    host: str = Host,
    port: str = Port,
    keys: str = KeysFile,
    redact: str = Redact,
    unknown_types: bool = UnknownTypes,
    environment: str = Environment,
    broker: str = run.BrokerUrl,
    *,
    log: Log,
) -> None:
    """Serve the HTTP API and the dashboard of an application.

    API keys come from $DISTQ_API_KEYS, --keys, and $API_KEY. Without any, only this machine is served.
    """
    settings.application(target)
    check_installed()
    from distq.server.access import read_keys  # noqa: PLC0415 (the web framework takes half a second)
    from distq.server.serve import bind, is_loopback, serve  # noqa: PLC0415
    from distq.server.site import ServerConfig  # noqa: PLC0415

    log.configure()
    number = values.whole(port, "--port", 0, 65535)
    known = read_keys(os.environ, values.given(keys, "--keys"))
    names = frozenset(name.strip().lower() for name in (redact or "").split(",") if name.strip())
    if not known and not is_loopback(host):
        raise ConfigurationError(
            f"--host {host} without an API key would let everybody in: set $API_KEY or $DISTQ_API_KEYS, or give --keys"
        )
    app = load_quietly(target)
    if values.given(broker, "--broker"):
        app.rebind(broker)
    try:
        listening = bind(host, number)
    except OSError as error:
        raise PortUnavailable(f"cannot listen on {host}:{number}: {error.strerror}; give another --port") from None
    config = ServerConfig(
        known, unknown_types=unknown_types, redacted=names, environment=(environment or "")[:MOST_NAME]
    )
    told = f"API keys: {', '.join(known.names)}" if known else "No API key is configured: only this machine is served"
    typer.echo(f"{told}.")
    raise typer.Exit(serve(app, config, listening, typer.echo))


def check_installed() -> None:
    """Raises ConfigurationError with the command that installs what is missing."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"the HTTP API needs {', '.join(missing)}: pip install 'distq[server]' brings what is missing"
        )
