"""``actsearch show STUDY``: the study as a table; its pictures are written."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from actsearch.cli.options import add_store, parse_arguments
from actsearch.cli.tables import add_json, print_json, print_table, trial_row
from actsearch.errors import printable

if TYPE_CHECKING:
    from actsearch.run import SearchResult
    from actsearch.search.study.record import StudyRun

LEFT = ("placement", "the best of it", "step", "")
"""Columns of words; those of numbers stand to the right."""


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
    add_json(parser)
    add_store(parser)
    options = parse_arguments(parser, arguments)
    if options.study is None:
        from actsearch.cli.studies import print_studies

        print_studies(options)
        return 0

    from actsearch.search.study.record import StudyRun
    from actsearch.search.study.store import Store
    from actsearch.tracking.ending import ending
    from actsearch.tracking.report import write_report

    opened = StudyRun.load(Store(options.store, options.record), options.study)
    if options.json:
        print_json(_data(opened, options.top))
        return 0
    print_study(opened, options.top)
    print(printable(f"\n{ending(opened)}\n"))
    try:
        print(f"pictures: {write_report(opened)}")
    except OSError as error:  # what is found can be read where nothing can be written
        print(f"pictures: not written, since {error.filename or opened.folder}: {error.strerror}")
    return 0


def print_study(opened: StudyRun, top: int = 10) -> None:
    """Print the best trials, and the confirmation where there is one."""
    from actsearch.search.confirm.confirmation import Confirmation
    from actsearch.tracking import ladder
    from actsearch.tracking.report import best_rows, confirmation_rows

    _print(f"{opened.name}: the ladder, in validation", *ladder.ladder_rows(opened))
    _print(f"{opened.name}: the best of the search", *best_rows(opened, top))
    confirmation = Confirmation.read(opened)
    if confirmation is not None and confirmation.comparisons:
        seeds = f"{len(confirmation.seeds)} paired seeds, {confirmation.split} split"
        _print(f"{opened.name}: confirmation, {seeds}", *confirmation_rows(confirmation))
        print(printable(confirmation.verdict()[0].upper() + confirmation.verdict()[1:]))


def print_result(result: SearchResult, store: str, record: str, quiet: bool = False) -> None:
    """Print what a search found, and what to do with it."""
    from actsearch.search.study.record import StudyRun
    from actsearch.search.study.store import Store
    from actsearch.tracking.header import short_path
    from actsearch.tracking.link import pages

    opened = StudyRun.load(Store(store, record), result.study)
    if not quiet:
        print_study(opened)
        print()
    print(printable(result.advice))
    if not quiet:
        print(f"\nPictures: {short_path(result.folder / 'report')}")
        print(f"MLflow's pages: {pages(opened, store)}")


def _data(opened: StudyRun, top: int) -> dict[str, Any]:
    """Return a study as plain data: what its tables have, with all digits."""
    from actsearch.search.confirm.confirmation import Confirmation
    from actsearch.tracking.ending import ending
    from actsearch.tracking.ladder import ladder

    confirmation = Confirmation.read(opened)
    compared = confirmation is not None and bool(confirmation.comparisons)
    return {
        "study": opened.name,
        "task": opened.config.task,
        "space": opened.config.space,
        "objectives": opened.config.objectives,
        "ladder": [asdict(rung) for rung in ladder(opened)],
        "trials": [trial_row(opened, trial) for trial in opened.ranked()[:top]],
        "confirmation": None if confirmation is None else asdict(confirmation),
        "verdict": confirmation.outcome if confirmation is not None and compared else None,
        "advice": ending(opened),
    }


def _print(title: str, header: list[str], lines: list[list[str]]) -> None:
    right = [name for name in header if name not in LEFT]
    styles = ["bold" if line[0] == "baseline" else "" for line in lines]
    print_table(title, header, lines, right, styles)
