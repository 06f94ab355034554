"""What several commands share: the store's option, and errors of the parser as ours."""

from __future__ import annotations

import argparse
import difflib
import json
from collections.abc import Collection
from typing import Any, NoReturn

from actsearch.errors import InvalidValueError


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add ``--store`` and ``--record``."""
    parser.add_argument("--store", default="mlruns", help="folder of the studies (default: mlruns)")
    parser.add_argument(
        "--record",
        default="",
        metavar="URL",
        help="PostgreSQL database that has the record (default: ACTSEARCH_RECORD, or the folder)",
    )


ASKED = "which options?\0"
"""A word that no shell can give: it asks a command for its parser."""


class ParserAskedError(Exception):
    """Has the parser that a command was asked for."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__(parser.prog)
        self.parser = parser


def parse_arguments(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    """Parse, and raise a wrong option as one line instead of a page of usage.

    ``--include_gates`` is ``--include-gates``; an option is written out.

    Raises:
        InvalidValueError: an option that is missing, unknown or wrong.
        ParserAskedError: the parser was asked for.
    """
    options, rest = parse_some(parser, arguments)
    if rest:
        known = [name for action in parser._actions for name in action.option_strings]
        near = difflib.get_close_matches(rest[0].partition("=")[0], known, n=2)
        hint = f"; nearest: {', '.join(near)}" if near else ""
        parser.error(f"unrecognized arguments: {' '.join(rest)}{hint}")
    return options


def parse_some(
    parser: argparse.ArgumentParser, arguments: list[str]
) -> tuple[argparse.Namespace, list[str]]:
    """Parse what a parser knows as :func:`parse_arguments` does, and return the other words."""
    if ASKED in arguments:
        raise ParserAskedError(parser)

    def complain(message: str) -> NoReturn:
        raise InvalidValueError(f"{message}. `{parser.prog} --help` lists the options.")

    parser.error = complain  # type: ignore[method-assign]  # argparse's own way prints the usage and exits
    parser.allow_abbrev = False
    return parser.parse_known_args([_dashed(word) for word in arguments])


def _dashed(word: str) -> str:
    name, equals, value = word.partition("=")
    own = name.startswith("--") and "." not in name
    return f"{name.replace('_', '-')}{equals}{value}" if own else word


REPEATED = {"objective": "objectives", "measure": "measures"}
"""Options that may be given again and again, by what each one is."""

LISTS = ("objectives", "measures", "require", "learn_from")
"""Options of a search that are lists."""


def canonical_words(arguments: list[str], flags: Collection[str]) -> list[str]:
    """Return a command's words with each option once, under its own name, and with a value.

    ``--test-metric`` is ``--test_metric``, ``--task.batch-size`` is ``--task.batch_size``, a flag
    alone, ``--force``, is ``--force=true``, and what may be repeated becomes one list.

    Args:
        arguments: the words.
        flags: options that are true or false.

    >>> canonical_words(["--objective", "a:max", "--objective=b", "--force"], ["force"])
    ['--force=true', '--objectives=["a:max", "b"]']
    """
    words: list[str] = []
    lists: dict[str, list[str]] = {}
    given = iter(range(len(arguments)))
    for index in given:
        word, following = arguments[index], arguments[index + 1 : index + 2]
        name, equals, value = word.partition("=")
        if not name.startswith("--"):
            words.append(word)
            continue
        part, dot, rest = name.removeprefix("--").partition(".")
        first, dot_, more = rest.partition(".")
        key = REPEATED.get(part.replace("-", "_"), part.replace("-", "_"))
        if key in LISTS and not dot:
            if not equals and not following:
                raise InvalidValueError(f"{name} must have a value, but nothing follows it.")
            lists.setdefault(key, []).append(value if equals else following[0])
            if not equals:
                next(given)
            continue
        if key in flags and not dot and not equals and _is_option(following):
            equals, value = "=", "true"
        words.append(f"--{key}{dot}{first.replace('-', '_')}{dot_}{more}{equals}{value}")
    return words + [f"--{key}={_one_list(values)}" for key, values in lists.items()]


def _is_option(following: list[str]) -> bool:
    return not following or following[0].startswith("--")


def _one_list(values: list[str]) -> str:
    """Return the values of an option that was repeated as one list; one that is one stays."""
    if len(values) == 1 and values[0].lstrip()[:1] in ("[", "{"):
        return values[0]
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    items: list[str] = []
    for value in values:
        try:
            several = YAML(typ="safe").load(value) if value.lstrip().startswith("[") else [value]
        except YAMLError:
            raise InvalidValueError(f"a list must read [A, B], but got {value!r}.") from None
        items += map(str, several)
    return json.dumps(items)


def take_flags(names: Collection[str], arguments: list[str]) -> tuple[set[str], list[str]]:
    """Split off flags of the command itself.

    >>> take_flags(["dry-run", "quiet"], ["--dry_run", "--seed", "1"])
    ({'dry-run'}, ['--seed', '1'])
    """
    words = {f"--{name}": name for name in names}
    found = {words[_dashed(word)] for word in arguments if _dashed(word) in words}
    return found, [word for word in arguments if _dashed(word) not in words]


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
