"""``actsearch confirm STUDY``: paired seeds against the baseline on the test split."""

from __future__ import annotations

import argparse

from actsearch.cli.options import add_store, parse_arguments
from actsearch.cli.search_options import add_where


def run(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="actsearch confirm",
        description=(
            "Retrain the best placements of a study and its baseline on the same new seeds, and"
            " compare on the test split."
        ),
    )
    parser.add_argument("study", help="name of the study")
    parser.add_argument(
        "--top", type=int, default=3, help="how many of the best are confirmed (default: 3)"
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=16,
        help="trainings per arm on average; (top + 1) * seeds at most (default: 16)",
    )
    where = add_where(parser)
    parser.add_argument(
        "--accept-changes",
        action="store_true",
        help="go on although code, data or versions have changed since the search",
    )
    parser.add_argument("--quiet", action="store_true", help="print how it ended, and nothing else")
    parser.add_argument("--verbose", action="store_true", help="a line for each training, always")
    add_store(parser)
    options = parse_arguments(parser, arguments)

    from actsearch.search.executors.server import fork_server

    fork_server()  # before anything else: what a training needs is imported once for both
    from actsearch.cli.show import print_result
    from actsearch.run import confirm
    from actsearch.search.study.record import StudyRun
    from actsearch.search.study.store import Store
    from actsearch.tracking.progress import Progress

    with Progress(options.quiet, options.verbose) as shown:
        shown.begin_confirmation(
            StudyRun.load(Store(options.store, options.record), options.study),
            options.top,
            options.seeds,
        )
        result = confirm(
            options.study,
            top=options.top,
            seeds=options.seeds,
            store=options.store,
            record=options.record,
            accept_changes=options.accept_changes,
            progress=shown.confirming,
            **{name: getattr(options, name) for name in where},
        )
    print_result(result, options.store, options.record, options.quiet)
    return 0
