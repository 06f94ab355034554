"""``actsearch delete STUDY``: remove a study, its record and its files."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from actsearch.cli.options import add_store, parse_arguments
from actsearch.errors import InvalidValueError, StudyError, printable

if TYPE_CHECKING:
    from actsearch.search.study.store import Store


def run(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="actsearch delete", description="Remove a study: its record and its files."
    )
    parser.add_argument("study", help="name of the study")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--mlflow", action="store_true", help="mark its runs in MLflow as deleted as well"
    )
    add_store(parser)
    options = parse_arguments(parser, arguments)

    from actsearch.search.study.store import READING_BYTES, Store
    from actsearch.search.study.upkeep import delete_study

    store = Store(options.store, options.record)
    study = store.load(options.study)
    identity = study.user_attrs.get("actsearch.identity", "")
    with store.owned(options.study, READING_BYTES):  # refuses one that runs before it asks
        pass
    if not options.yes and not _confirmed(f"{options.study}, {len(study.trials)} trials"):
        print("nothing was deleted")
        return 0
    deleted = _delete_runs(store, identity) if options.mlflow else 0
    delete_study(store, options.study)
    print(f"{options.study}: deleted from {store}")
    if options.mlflow:
        print(f"MLflow: {deleted} runs marked as deleted; `mlflow gc` removes them for good")
    elif identity:
        print(f"MLflow keeps its runs, found by the tag actsearch.identity = {identity}")
    return 0


def _confirmed(what: str) -> bool:
    if not sys.stdin.isatty():
        raise InvalidValueError(f"--yes must be given where nobody can be asked, to delete {what}.")
    print(f"Delete {printable(what)}? There is no way back. [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _delete_runs(store: Store, identity: str) -> int:
    """Mark a study's runs as deleted, and return how many."""
    from actsearch.tracking.client import make_client, tracking_uri
    from actsearch.tracking.lifecycle import delete_runs

    uri = tracking_uri(store)
    try:
        return delete_runs(make_client(store), identity)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise StudyError(
            f"MLflow at {uri} must answer, but: {reason}. The study was not deleted; leave out"
            " --mlflow, or try again when it does."
        ) from error
