"""``actsearch measures``: the measures of a trained model, a line each, and what each needs."""

from __future__ import annotations

import argparse
import inspect
import sys

from actsearch.cli.options import parse_arguments


def run(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="actsearch measures",
        description="List the measures of a trained model, and what a module must offer for each.",
    )
    parse_arguments(parser, arguments)

    from rich.console import Console
    from rich.table import Table

    from actsearch.measures import all_measures
    from actsearch.measures.measure import NEEDS

    table = Table(title="measures of a trained model", title_justify="left")
    for column in ("name", "better", "needs", "when", "options", "what"):
        table.add_column(column, overflow="fold")
    for name, cls in all_measures().items():
        options = inspect.signature(cls).parameters.values()
        table.add_row(
            name,
            cls.direction or "",
            ", ".join(sorted(cls.needs)),
            cls.when,
            ", ".join(f"{option.name}={option.default!r}" for option in options),
            (inspect.getdoc(cls) or "").partition("\n")[0],
        )
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table)
    for need, offered in NEEDS.items():
        console.print(f"{need:<18} {offered}", highlight=False, markup=False)
    console.print(
        "\nOf a trained placement: actsearch measure STUDY [NAME ...]. Your own measure:"
        " package.module.YourMeasure",
        highlight=False,
        markup=False,
    )
    return 0
