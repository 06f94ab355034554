"""``actsearch tasks``: the tasks, a line each, or what one is about."""

from __future__ import annotations

import argparse
import ast
import inspect

from actsearch.cli.options import parse_arguments


def run(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="actsearch tasks", description="List the tasks, or show what one is about."
    )
    parser.add_argument("name", nargs="?", help="name of a task, or dotted path of a class")
    options = parse_arguments(parser, arguments)
    if options.name:
        from actsearch.search.training.target import Target

        print(inspect.getdoc(Target.resolve(options.name).module))
        print(f"\nIts options: actsearch search {options.name} --help")
        return 0

    from actsearch.task.plugins import members, source

    for name, path in members("tasks").items():
        code = source(path).read_text(encoding="utf-8")  # read, not imported: a list must be quick
        text = ast.get_docstring(ast.parse(code)) or ""
        print(f"{name:<16} {text.splitlines()[0] if text else ''}")
    print(
        "\nYour own: actsearch search package.module.YourLightningModule --monitor val_loss"
        " --mode min"
    )
    return 0
