"""``actsearch tasks``: the tasks, a line each, or what one is about."""

from __future__ import annotations

import argparse
import ast
import inspect

from actsearch.cli.options import parse_arguments
from actsearch.cli.tables import add_json, print_json
from actsearch.errors import printable


def run(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="actsearch tasks", description="List the tasks, or show what one is about."
    )
    parser.add_argument("name", nargs="?", help="name of a task, or dotted path of a class")
    add_json(parser)
    options = parse_arguments(parser, arguments)
    if options.name:
        _show(options.name, options.json)
        return 0

    from actsearch.task.plugins import members, source

    found = {}
    for name, path in members("tasks").items():
        code = source(path).read_text(encoding="utf-8")  # read, not imported: a list must be quick
        text = ast.get_docstring(ast.parse(code)) or ""
        found[name] = printable(text.partition("\n")[0])
    if options.json:
        print_json([{"name": name, "summary": text} for name, text in found.items()])
        return 0
    for name, text in found.items():
        print(f"{name:<16} {text}")
    print(
        "\nYour own: actsearch search package.module.YourLightningModule --monitor val_loss"
        " --mode min"
    )
    return 0


def _show(name: str, as_json: bool) -> None:
    from actsearch.search.training.target import Target

    text = inspect.getdoc(Target.resolve(name).module) or ""
    if as_json:
        print_json({"name": name, "summary": text.partition("\n")[0], "text": text})
        return
    print(printable(text))
    print(f"\nIts options: actsearch search {name} --help")
