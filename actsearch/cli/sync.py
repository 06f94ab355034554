"""``actsearch sync STUDY``: replay what MLflow missed; nothing is doubled."""

from __future__ import annotations

import argparse

from actsearch.cli.options import add_store, parse_arguments
from actsearch.errors import StudyError


def run(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="actsearch sync", description="Bring over to MLflow what it missed of a study."
    )
    parser.add_argument("study", help="name of the study")
    add_store(parser)
    options = parse_arguments(parser, arguments)

    from actsearch.search.study.record import StudyRun
    from actsearch.search.study.store import Store
    from actsearch.tracking.mirror import Mirror

    store = Store(options.store)
    opened = StudyRun.load(store, options.study)
    with store.owned(options.study):
        mirror = Mirror(store)
        try:
            count = mirror.sync(opened)
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise StudyError(
                f"MLflow at {mirror.uri} must answer, but: {reason}. Try again when it does."
            ) from error
    print(f"{count} trials of {options.study} were brought over to {mirror.uri}")
    return 0
