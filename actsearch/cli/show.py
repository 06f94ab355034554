"""``actsearch show STUDY``: the study as a table; its pictures are written."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from actsearch.cli.options import add_store, parse
from actsearch.placement import Placement
from actsearch.run import SearchResult
from actsearch.search.confirm import Confirmation
from actsearch.search.store import Store
from actsearch.search.study import StudyRun
from actsearch.tracking.report import confirmation_rows, rows, write_report


def run(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="actsearch show", description="Print a study as a table, and write its pictures."
    )
    parser.add_argument("study", nargs="?", help="name of the study; without it the store's studies are listed")
    parser.add_argument("--top", type=int, default=10, help="how many of the best trials (default: 10)")
    add_store(parser)
    options = parse(parser, arguments)
    store = Store(options.store)
    if options.study is None:
        for name in store.names():
            print(name)
        return 0
    opened = StudyRun.load(store, options.study)
    print_study(opened, options.top)
    print(f"pictures: {write_report(opened)}")
    return 0


def print_study(opened: StudyRun, top: int = 10) -> None:
    """Print the best trials, and the confirmation where there is one."""
    console = Console()
    console.print(_table(f"{opened.name}: the best of the search, one training each", *rows(opened, top)))
    confirmation = Confirmation.read(opened)
    if confirmation is not None and confirmation.comparisons:
        seeds = f"{len(confirmation.seeds)} paired seeds, {confirmation.split} split"
        console.print(_table(f"{opened.name}: confirmation, {seeds}", *confirmation_rows(confirmation)))
        console.print(confirmation.verdict()[0].upper() + confirmation.verdict()[1:], highlight=False)


def print_result(result: SearchResult, store: str) -> None:
    """Print what a search found, and the two lines to reuse it."""
    print_study(StudyRun.load(Store(store), result.study))
    best = result.folder / "best.json"
    if not best.exists():
        print("\nNo trial besides the baseline was completed; there is nothing to reuse yet.")
        return
    shown = best.relative_to(Path.cwd()) if best.is_relative_to(Path.cwd()) else best
    print(
        f"\nReuse it in your training code:\n\n    from actsearch import Placement\n    Placement.load({str(shown)!r}).apply(model)\n"
    )
    if (factor := Placement.load(best).learning_rate_factor) != 1.0:
        print(f"It was trained, as the baseline beside it, with the task's own learning rate times {factor:.3g}.\n")
    print(f"Pictures: {shown.parent / 'report'}    MLflow's pages: actsearch ui --store {store}")


def _table(title: str, header: list[str], lines: list[list[str]]) -> Table:
    table = Table(title=title, title_justify="left", expand=False)
    for name in header:
        table.add_column(name, overflow="fold", justify="left" if name in ("placement", "") else "right")
    for line in lines:
        table.add_row(*line, style="bold" if line[0] == "baseline" else None)
    return table
