"""``actsearch tasks``: the tasks, a line each."""

from __future__ import annotations

import argparse
import ast

from actsearch.cli.options import parse_arguments


def run(arguments: list[str]) -> int:
    """Run the command."""
    parse_arguments(
        argparse.ArgumentParser(prog="actsearch tasks", description="List the tasks."), arguments
    )

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
