"""``actsearch bench sampler``: how many trainings each sampler needs, on tables of finished trainings."""

from __future__ import annotations

import argparse
from pathlib import Path

from actsearch.cli.options import parse


def run(arguments: list[str]) -> int:
    """Run the command."""
    from actsearch.search.samplers.bench import SAMPLERS, TABLES, as_text, bench_sampler, picture

    parser = argparse.ArgumentParser(
        prog="actsearch bench",
        description=(
            "Replay tables of finished trainings: normalised regret after so many trainings, (best"
            " in table - best found) / (best - median), mean and 10 % to 90 % band over seeds. All"
            " samplers take some ten minutes."
        ),
    )
    parser.add_argument("what", choices=["sampler"], help="what is compared")
    parser.add_argument(
        "--samplers",
        nargs="+",
        default=list(SAMPLERS),
        help=f"of {', '.join(SAMPLERS)} (default: all)",
    )
    parser.add_argument(
        "--tables",
        type=Path,
        default=TABLES,
        help="folder with tables, as benchmarks/tables/make.py writes",
    )
    parser.add_argument("--trainings", type=int, default=80, help="of each replay (default: 80)")
    parser.add_argument("--seeds", type=int, default=10, help="replays of each table (default: 10)")
    parser.add_argument(
        "--picture", type=Path, help="draw the regret over trainings into this file"
    )
    options = parse(parser, arguments)
    result = bench_sampler(
        options.samplers, options.tables, options.trainings, options.seeds, print
    )
    print(as_text(result))
    if options.picture:
        print(f"picture: {picture(result, options.picture)}")
    return 0
