"""What several commands share: the store's option, and errors of the parser as ours."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from typing import Any, NoReturn

from actsearch.errors import InvalidValueError


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add ``--store``."""
    parser.add_argument("--store", default="mlruns", help="folder of the studies (default: mlruns)")


def parse_arguments(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    """Parse, and raise a wrong option as one line instead of a page of usage.

    Raises:
        InvalidValueError: an option that is missing, unknown or wrong.
    """

    def complain(message: str) -> NoReturn:
        raise InvalidValueError(f"{message}. `{parser.prog} --help` lists the options.")

    parser.error = complain  # type: ignore[method-assign]  # argparse's own way prints the usage and exits
    return parser.parse_args(arguments)


def canonical_words(arguments: list[str], flags: Collection[str]) -> list[str]:
    """Return a command's words with each option under its own name, and with a value.

    ``--test-metric`` is ``--test_metric``, ``--objective`` is ``--objectives``, ``--measure`` is
    ``--measures``, and a flag alone, ``--force``, is ``--force=true``.

    Args:
        arguments: the words.
        flags: options that are true or false.
    """
    words: list[str] = []
    for index, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        key = name.removeprefix("--").replace("-", "_")
        if not name.startswith("--") or "." in key:
            words.append(word)
            continue
        key = {"objective": "objectives", "measure": "measures"}.get(key, key)
        following = arguments[index + 1 : index + 2]
        if key in flags and not equals and (not following or following[0].startswith("--")):
            equals, value = "=", "true"
        words.append(f"--{key}{equals}{value}")
    return words


def take_data(arguments: list[str]) -> tuple[str, list[str]]:
    """Split off ``--data CLASS``, which decides what ``--data.*`` options there are."""
    return take("--data", arguments)


def take(option: str, arguments: list[str]) -> tuple[str, list[str]]:
    """Split off an option with its value; empty where it is not given.

    Raises:
        InvalidValueError: no value behind it.

    >>> take("--task", ["--task", "flow", "--task.depth=2"])
    ('flow', ['--task.depth=2'])
    """
    found, rest = "", []
    words = iter(arguments)
    for word in words:
        if word == option:
            found = next(words, "")
            if not found:
                raise InvalidValueError(f"{option} must have a value, but nothing follows it.")
        elif word.startswith(f"{option}="):
            found = word.removeprefix(f"{option}=")
        else:
            rest.append(word)
    return found, rest


def take_measures(arguments: list[str]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Split off the options of measures.

    >>> take_measures(["--measure.certified_accuracy.radius", "0.1", "--seed", "1"])
    ({'certified_accuracy': {'radius': '0.1'}}, ['--seed', '1'])
    """
    found: dict[str, dict[str, str]] = {}
    rest = []
    words = iter(arguments)
    for word in words:
        if not word.startswith("--measure."):
            rest.append(word)
            continue
        name, equals, value = word.removeprefix("--measure.").partition("=")
        measure, _, option = name.rpartition(".")
        found.setdefault(measure, {})[option] = value if equals else next(words, "")
    return found, rest


def merge_options(
    measures: list[str] | dict[str, dict[str, Any]], options: dict[str, dict[str, str]]
) -> dict[str, dict[str, Any]]:
    """Return measures by name, with what :func:`take_measures` found of each.

    >>> merge_options(["dead_units"], {"certified_accuracy": {"radius": "0.1"}})
    {'dead_units': {}, 'certified_accuracy': {'radius': '0.1'}}
    """
    named = measures if isinstance(measures, dict) else {name: {} for name in measures}
    return {name: {**named.get(name, {}), **options.get(name, {})} for name in {**named, **options}}
