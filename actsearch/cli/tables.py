"""Tables: aligned on a terminal, whole on a pipe, and as JSON for scripts."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from actsearch.errors import printable

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from actsearch.search.study.record import StudyRun

WHOLE = 10_000
"""Columns of a pipe: no cell is wrapped there."""


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def print_json(data: Any) -> None:
    """Print data as JSON; a figure that is not finite is null."""
    print(json.dumps(finite(data), indent=2, allow_nan=False, default=str))


def finite(data: Any) -> Any:
    """Return plain data with None for each figure that is not finite."""
    if isinstance(data, float) and not math.isfinite(data):
        return None
    if isinstance(data, Mapping):
        return {str(key): finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [finite(value) for value in data]
    return data


def print_table(
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[object]],
    right: Collection[str] = (),
    styles: Sequence[str] = (),
) -> None:
    """Print a table.

    Args:
        title: the line above it.
        header: names of the columns.
        rows: cells; ``None`` is an empty one.
        right: names of the columns that stand to the right, such as numbers.
        styles: rich's style of each row, where there are some.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for name in header:
        side: Literal["left", "right"] = "right" if name in right else "left"
        table.add_column(Text(printable(name)), overflow="fold", justify=side)
    for index, row in enumerate(rows):
        # As text: in a string rich would read what stands in brackets.
        cells = (Text("" if cell is None else printable(str(cell))) for cell in row)
        table.add_row(*cells, style=styles[index] if styles else None)
    console = Console(width=None if sys.stdout.isatty() else WHOLE)
    console.print(Text(printable(title), style="italic"), soft_wrap=True)
    console.print(table)


def trial_row(run: StudyRun, trial: FrozenTrial) -> dict[str, Any]:
    """Return a trial as plain data."""
    from actsearch.search.study.record import phase_of, result_of

    result = result_of(trial)
    metrics = [goal.metric for goal in run.config.goals]
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "phase": phase_of(trial),
        "values": dict(zip(metrics, trial.values or [None] * len(metrics), strict=True)),
        "learning_rate_factor": run.factor(trial),
        "seconds": result.seconds,
        "reason": result.reason,
        "parameters": run.choices(trial),
    }
