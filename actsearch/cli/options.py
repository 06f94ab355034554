"""What several commands share: the store's option, and errors of the parser as ours."""

from __future__ import annotations

import argparse
from typing import NoReturn

from actsearch.errors import InvalidValueError


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add ``--store``."""
    parser.add_argument("--store", default="mlruns", help="folder of the studies (default: mlruns)")


def parse(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    """Parse, and raise a wrong option as one line instead of a page of usage.

    Raises:
        InvalidValueError: an option that is missing, unknown or wrong.
    """

    def complain(message: str) -> NoReturn:
        raise InvalidValueError(f"{message}. `{parser.prog} --help` lists the options.")

    parser.error = complain  # type: ignore[method-assign]  # argparse's own way prints the usage and exits
    return parser.parse_args(arguments)


def take_data(arguments: list[str]) -> tuple[str, list[str]]:
    """Split off ``--data CLASS``, which decides what ``--data.*`` options there are."""
    return take("--data", arguments)


def take(option: str, arguments: list[str]) -> tuple[str, list[str]]:
    """Split off an option with its value; empty where it is not given.

    >>> take("--task", ["--task", "flow", "--task.depth=2"])
    ('flow', ['--task.depth=2'])
    """
    found, rest = "", []
    words = iter(arguments)
    for word in words:
        if word == option:
            found = next(words, "")
        elif word.startswith(f"{option}="):
            found = word.removeprefix(f"{option}=")
        else:
            rest.append(word)
    return found, rest
