"""Where a shared record is: the URL of a PostgreSQL database, whose password is shown to nobody."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from urllib.parse import parse_qsl, unquote, urlencode

from actsearch.errors import InvalidValueError

RECORD_VARIABLE = "ACTSEARCH_RECORD"
"""The environment variable that names a record where no option does."""

FORM = "postgresql+psycopg://USER@HOST/DATABASE"

_SCHEMES = ("postgresql", "postgresql+psycopg")
_SECRET_PARTS = ("password", "sslpassword", "passcode")
_CREDENTIALS = re.compile(r"(://[^/@\s:]*:).*@", re.DOTALL)
_given: dict[str, dict[str, str]] = {}
"""By the URL as it is shown, what a connection is made with; in this process's memory alone."""


def shown_url(url: str) -> str:
    """Return a record's URL without its password, which this process keeps in memory.

    Everything before the last ``@`` is user and password, so that a password which should have been
    quoted is not shown either.

    Raises:
        InvalidValueError: no URL of a PostgreSQL database.

    >>> shown_url("postgresql://me:p%40ss@example.org:5433/studies?password=x&sslmode=require")
    'postgresql+psycopg://me@example.org:5433/studies?sslmode=require'
    """
    scheme, is_url, rest = url.partition("://")
    if not is_url or scheme not in _SCHEMES or "\0" in url:
        told = f"a URL of {scheme!r}" if is_url and scheme.isascii() else "no URL of that kind"
        raise InvalidValueError(
            f"the record must be {FORM}, but got {told}. Leave --record out for SQLite in the"
            " store's folder."
        )
    credentials, _, place = rest.rpartition("@")
    user, _, password = credentials.partition(":")
    place, _, query = place.partition("?")
    address, _, database = place.partition("/")
    host, port = _host_and_port(address)
    further = dict(parse_qsl(query, keep_blank_values=True))
    parts = {"host": host, "port": port, "user": unquote(user), "password": unquote(password)}
    parts |= {"dbname": unquote(database), **further}
    public = urlencode({k: v for k, v in further.items() if k not in _SECRET_PARTS}, safe="/")
    shown = f"postgresql+psycopg://{user}{'@' * bool(user)}{address}/{database}"
    shown += f"?{public}" if public else ""
    secret = any(parts.get(name) for name in _SECRET_PARTS)
    if secret or shown not in _given:
        _given[shown] = {name: value for name, value in parts.items() if value}
    return shown


def connection_options(shown: str) -> dict[str, str]:
    """Return what libpq connects with, the password included, of a URL as it is shown."""
    return dict(_given[shown])


def chosen_record(record: str) -> str:
    """Return the URL of the record as it is shown, of the option or else of the environment."""
    url = record or os.environ.get(RECORD_VARIABLE, "")
    return shown_url(url) if url else ""


def without_passwords(words: Sequence[str]) -> list[str]:
    """Return a command's words with each ``--record`` as it is shown.

    Raises:
        InvalidValueError: no URL of a PostgreSQL database.

    >>> without_passwords(["show", "--record=postgresql://me:secret@h/d", "--record"])
    ['show', '--record=postgresql+psycopg://me@h/d', '--record']
    """
    found: list[str] = []
    for word in words:
        if word.startswith("--record="):
            word = f"--record={shown_url(word.removeprefix('--record='))}"
        elif found and found[-1] == "--record":
            word = shown_url(word)
        found.append(word)
    return found


def masked(text: str) -> str:
    """Return a text without the password of a URL in it.

    >>> masked("unknown study 'mysql://me:se@cret@h/d'")
    "unknown study 'mysql://me:***@h/d'"
    """
    return _CREDENTIALS.sub(r"\1***@", text)


def _host_and_port(address: str) -> tuple[str, str]:
    host, colon, port = address.rpartition(":")
    if address.endswith("]") or not colon:
        host, port = address, ""
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
        raise InvalidValueError(
            f"the record must be {FORM}, with a port from 1 to 65535 where it has one, but has"
            " another. Quote what is special in a password, or leave it to PGPASSWORD."
        )
    return unquote(host).strip("[]"), port
