"""``actsearch tasks``: the tasks, a line each."""

from __future__ import annotations

import argparse
import ast

from actsearch.cli.options import parse


def run(arguments: list[str]) -> int:
    """Run the command."""
    parse(argparse.ArgumentParser(prog="actsearch tasks", description="List the tasks."), arguments)

    from actsearch.task.plugins import members

    for name, path in members("tasks").items():
        file = path / "__init__.py" if path.is_dir() else path
        text = (
            ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        )  # read, not imported: a list must be quick
        print(f"{name:<16} {text.splitlines()[0] if text else ''}")
    print(
        "\nYour own: actsearch search package.module.YourLightningModule --monitor val_loss"
        " --mode min"
    )
    return 0
