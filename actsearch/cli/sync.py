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
    from actsearch.tracking.client import tracking_uri
    from actsearch.tracking.model import bring_winner
    from actsearch.tracking.replica import Replica

    store = Store(options.store, options.record)
    opened = StudyRun.load(store, options.study)
    uri = tracking_uri(store)
    with store.owned(options.study):
        replica = Replica(opened)
        try:
            replica.connect(trusting=False)
            count = replica.missing()
            replica.close("FINISHED")
            bring_winner(replica)
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise StudyError(
                f"MLflow at {uri} must answer, but: {reason}. Try again when it does."
            ) from error
    print(f"{count} trials of {options.study} were brought over to {uri}")
    return 0
