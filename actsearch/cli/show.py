"""``actsearch show STUDY``: the study as a table; its pictures are written."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from actsearch.cli.options import add_store, parse_arguments
from actsearch.errors import printable
from actsearch.run import SearchResult
from actsearch.search.confirm.confirmation import Confirmation
from actsearch.search.study.record import StudyRun
from actsearch.search.study.store import Store
from actsearch.tracking import ladder
from actsearch.tracking.ending import ending
from actsearch.tracking.link import last_words
from actsearch.tracking.report import best_rows, confirmation_rows, write_report


def run(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="actsearch show", description="Print a study as a table, and write its pictures."
    )
    parser.add_argument(
        "study", nargs="?", help="name of the study; without it the store's studies are listed"
    )
    parser.add_argument(
        "--top", type=int, default=10, help="how many of the best trials (default: 10)"
    )
    add_store(parser)
    options = parse_arguments(parser, arguments)
    store = Store(options.store)
    if options.study is None:
        for name in store.names():
            print(name)
        return 0
    opened = StudyRun.load(store, options.study)
    print_study(opened, options.top)
    print(f"\n{ending(opened)}\n")
    try:
        print(f"pictures: {write_report(opened)}")
    except OSError as error:  # what is found can be read where nothing can be written
        print(f"pictures: not written, since {error.filename or opened.folder}: {error.strerror}")
    return 0


def print_study(opened: StudyRun, top: int = 10) -> None:
    """Print the best trials, and the confirmation where there is one."""
    console = Console()
    console.print(_table(f"{opened.name}: the ladder, in validation", *ladder.ladder_rows(opened)))
    console.print(_table(f"{opened.name}: the best of the search", *best_rows(opened, top)))
    confirmation = Confirmation.read(opened)
    if confirmation is not None and confirmation.comparisons:
        seeds = f"{len(confirmation.seeds)} paired seeds, {confirmation.split} split"
        console.print(
            _table(f"{opened.name}: confirmation, {seeds}", *confirmation_rows(confirmation))
        )
        console.print(
            confirmation.verdict()[0].upper() + confirmation.verdict()[1:], highlight=False
        )


def print_result(result: SearchResult, store: str) -> None:
    """Print what a search found, and what to do with it."""
    opened = StudyRun.load(Store(store), result.study)
    print_study(opened)
    print(f"\n{result.advice}\n")
    folder = (
        result.folder.relative_to(Path.cwd())
        if result.folder.is_relative_to(Path.cwd())
        else result.folder
    )
    print(f"Pictures: {folder / 'report'}\n{last_words(opened, store)}")


def _table(title: str, header: list[str], lines: list[list[str]]) -> Table:
    table = Table(title=title, title_justify="left", expand=False)
    for name in header:
        table.add_column(
            name,
            overflow="fold",
            justify="left" if name in ("placement", "the best of it", "step", "") else "right",
        )
    for line in lines:
        table.add_row(*map(printable, line), style="bold" if line[0] == "baseline" else None)
    return table
