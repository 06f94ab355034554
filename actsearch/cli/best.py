"""``actsearch best STUDY``: the placement file."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

from actsearch.cli.options import add_store, parse_arguments
from actsearch.errors import ActsearchWarning, StudyError


def run(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="actsearch best", description="Print or write the best placement of a study."
    )
    parser.add_argument("study", help="name of the study")
    parser.add_argument(
        "--output", default="", help="file to write, such as best.json; printed where not given"
    )
    add_store(parser)
    options = parse_arguments(parser, arguments)

    from actsearch.placement import Placement
    from actsearch.search.study.placement_file import BEST, placement_file
    from actsearch.search.study.record import StudyRun
    from actsearch.search.study.store import Store

    opened = StudyRun.load(Store(options.store, options.record), options.study)
    path = placement_file(opened)
    if path is None:
        raise StudyError(
            f"study {options.study!r} must have a completed trial besides the baseline. Run more"
            " trials."
        )
    placement = Placement.load(path)
    if path.name != BEST:
        warnings.warn(
            f"{options.study} has no confirmed winner; this is its candidate, and apply will"
            " say so.",
            ActsearchWarning,
            stacklevel=2,
        )
    if not options.output:
        print(placement.dumps(), end="")
        return 0
    placement.save(Path(options.output))
    print(
        f"{options.output}: {len(placement.sites)} sites. `actsearch show {options.study}` tells"
        " how to reuse it."
    )
    return 0
