"""``actsearch studies``: the studies of a store, the latest first."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from actsearch.cli.options import add_store, parse_arguments
from actsearch.cli.tables import add_json, print_json, print_table


def run(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="actsearch studies", description="List the studies of a store, the latest first."
    )
    add_json(parser)
    add_store(parser)
    options = parse_arguments(parser, arguments)
    print_studies(options)
    return 0


def print_studies(options: argparse.Namespace) -> None:
    """Print the studies of a store, as the options of a command name it."""
    from actsearch.search.study.overview import overviews
    from actsearch.search.study.store import Store

    store = Store(options.store, options.record)
    found = overviews(store)
    if options.json:
        begun = [one.begun and one.begun.isoformat(timespec="seconds") for one in found]
        print_json([asdict(one) | {"begun": at} for one, at in zip(found, begun, strict=True)])
        return
    if not found:
        print(f"{store} has no studies. Begin one: actsearch search classification")
        return
    rows = [
        (
            one.name,
            one.task,
            one.begun and one.begun.strftime("%Y-%m-%d %H:%M"),
            one.trials,
            one.state,
            one.metric,
            None if one.best is None else f"{one.best:.4f}",
            None if one.gain is None else f"{one.gain:+.4f}",
            one.verdict,
        )
        for one in found
    ]
    header = ("study", "task", "begun", "trials", "state", "metric", "best", "gain", "verdict")
    title = f"{store}: {len(found)} stud{'y' if len(found) == 1 else 'ies'}"
    print_table(title, header, rows, right=("trials", "best", "gain"))
