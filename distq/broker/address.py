"""Where the broker is: the address that a user gives, or the environment. It opens no connection."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

from distq.broker import reach
from distq.errors import ConfigurationError

DEFAULT_URL = "redis://localhost:6379/0"


def resolve_url(given: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """The broker's address: the given one, else $DISTQ_BROKER, $REDIS_URL, $REDIS_ADDR (host:port), else localhost.

    Raises ConfigurationError for an address that cannot be one.
    """
    url = given or environ.get("DISTQ_BROKER") or environ.get("REDIS_URL")
    if not url and environ.get("REDIS_ADDR"):
        url = f"redis://{environ['REDIS_ADDR']}/0"
    url = _with_password(url or DEFAULT_URL, environ)
    if not isinstance(url, str) or urlsplit(url).scheme not in reach.SCHEMES:
        raise ConfigurationError(
            f"broker {mask(str(url))!r} is no address of a broker: use redis://host:port/0, rediss://…, "
            "unix:///path, sentinel://host1,host2,host3/name or cluster://host1,host2,host3"
        )
    try:
        reach.check(url)
    except ValueError as error:  # its text may show a piece of the password
        why = "cannot be read: write / # ? @ in its password as %2F %23 %3F %40" if "@" in url else str(error)
        raise ConfigurationError(f"broker {mask(url)!r}: {why}") from None
    return url


def _with_password(url: str, environ: Mapping[str, str]) -> str:
    """Where it has none: that of $DISTQ_BROKER_PASSWORD, or in the file that $DISTQ_BROKER_PASSWORD_FILE names."""
    password, file = environ.get("DISTQ_BROKER_PASSWORD"), environ.get("DISTQ_BROKER_PASSWORD_FILE")
    if not (password or file) or not isinstance(url, str) or "://" not in url:
        return url
    scheme, _, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    who, _, hosts = place.rpartition("@")
    if ":" in who:
        return url
    if not password:
        try:
            password = Path(str(file)).read_text("utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"$DISTQ_BROKER_PASSWORD_FILE cannot be read: {error}") from None
    return f"{scheme}://{who}:{quote(password, safe='')}@{hosts}{slash}{path}"


def mask(url: str) -> str:
    """The address without its password, for messages and logs."""
    url = re.sub(r"(?s)(://[^:@/]*):.*@", r"\1:***@", url)  # to the last @: people forget to quote what is in it
    return re.sub(r"(?i)([?&](?:ssl_|sentinel_)?password=)[^&]*", r"\1***", url)
