"""``actsearch rename OLD NEW``: give a study another name."""

from __future__ import annotations

import argparse

from actsearch.cli.options import add_store, parse_arguments


def run(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="actsearch rename", description="Give a study another name: record, folder and files."
    )
    parser.add_argument("old", help="name of the study")
    parser.add_argument("new", help="its new name")
    add_store(parser)
    options = parse_arguments(parser, arguments)

    from actsearch.search.study.store import Store
    from actsearch.search.study.upkeep import rename_study

    store = Store(options.store, options.record)
    rename_study(store, options.old, options.new)

    from actsearch.placement import Placement
    from actsearch.search.study.kept_files import keep_file
    from actsearch.search.study.placement_file import placement_file
    from actsearch.search.study.record import StudyRun
    from actsearch.tracking.report import write_report

    run = StudyRun.load(store, options.new)
    if (path := placement_file(run)) is not None:
        placement = Placement.load(path)
        found = {**placement.found, "study": options.new}
        keep_file(run, path.name, placement.model_copy(update={"found": found}).dumps())
    write_report(run)  # which has the name
    where = "" if options.store == "mlruns" else f" --store {options.store}"
    where += store.record_option
    print(
        f"{options.old} is {options.new} now. Go on with it by --study {options.new}. MLflow is"
        f" told by: actsearch sync {options.new}{where}"
    )
    return 0
