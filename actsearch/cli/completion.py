"""``actsearch completion SHELL``: what lets a shell complete commands and options."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Iterator
from typing import Any

from actsearch.cli.main import COMMANDS
from actsearch.cli.options import ASKED, ParserAskedError, parse_arguments
from actsearch.cli.search_options import KnownOptions, written
from actsearch.task.plugins import members

SHELLS = ("bash", "zsh", "fish")
STUDIES = "ls mlruns/studies 2>/dev/null"
"""What prints the names of studies."""

KINDS = {
    **dict.fromkeys(("--study", "--old", "--warm-start", "--learn-from"), "study"),
    **dict.fromkeys(("--config", "--output", "--picture"), "file"),
    **dict.fromkeys(("--store", "--pictures"), "folder"),
}
"""Of what kind an argument's value is."""


def run(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="actsearch completion",
        description=(
            "Print what lets a shell complete commands and options. bash: actsearch completion bash"
            " > ~/.local/share/bash-completion/completions/actsearch. zsh: into a file _actsearch"
            " of a folder in $fpath. fish: > ~/.config/fish/completions/actsearch.fish"
        ),
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell")
    options = parse_arguments(parser, arguments)

    import shtab

    every = _every_command()
    ways = {"study": shtab.cmd(STUDIES), "file": shtab.FILE, "folder": shtab.DIRECTORY}
    for action in _actions(every):
        if way := ways.get(KINDS.get(written(action.dest), "")):
            action.complete = way  # type: ignore[attr-defined]  # shtab's hook
    print(shtab.complete(every, options.shell))
    return 0


def _every_command() -> argparse.ArgumentParser:
    """Return a parser of all commands with their options."""
    every = argparse.ArgumentParser(prog="actsearch")
    every.add_argument("--version", action="store_true", help="print the version")
    commands = every.add_subparsers(dest="command")
    for name, text in COMMANDS.items():
        own = {"search": _of_search, "measure": _of_measure}.get(name)
        parser = own() if own is not None else _asked(name)
        commands.add_parser(name, parents=[parser], add_help=False, help=text, description=text)
    return every


def _actions(every: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of all commands."""
    (commands,) = (a for a in every._actions if isinstance(a, argparse._SubParsersAction))
    for parser in commands.choices.values():
        yield from parser._actions


def _asked(command: str) -> argparse.ArgumentParser:
    """Return what a command parses its words with."""
    try:
        importlib.import_module(f"actsearch.cli.{command}").run([ASKED])
    except ParserAskedError as asked:
        return asked.parser
    raise AssertionError(f"{command} has no parser")


def _of_search() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=list(members("tasks")), help="what is trained")
    known = KnownOptions.of("")
    for name, option in known.own.options.items():
        how: dict[str, Any] = {"choices": [c for c in option.choices if c] or None}
        if name in known.flags:
            how = {"action": "store_true"}
        elif name == "space":
            how = {"choices": list(members("search_spaces"))}
        parser.add_argument(written(name), help=option.help.replace("%", "%%"), **how)
    return parser


def _of_measure() -> argparse.ArgumentParser:
    from actsearch.cli.measure import MEASURE_USAGE

    parser = argparse.ArgumentParser()
    parser.add_argument("study", help="a study, or a placement file")
    for name, text in re.findall(r"^  (--[a-z]+)(?: [A-Z]\w*)? +(\S.*)$", MEASURE_USAGE, re.M):
        parser.add_argument(name, help=text.replace("%", "%%"))
    return parser
