"""``actsearch sites TARGET``: what would be searched in a model, and what would not."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from actsearch.cli.options import canonical_words, parse_some, take_data
from actsearch.cli.search_options import KnownOptions
from actsearch.cli.tables import add_json, print_json, print_table
from actsearch.errors import ActsearchError, InvalidValueError, TaskError

if TYPE_CHECKING:
    from actsearch.placement import Sites


def run(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="actsearch sites",
        description="Show what would be searched in a model. Its options: --task.NAME.",
    )
    parser.add_argument(
        "target", help="a task, or the dotted path of a LightningModule or of any torch module"
    )
    parser.add_argument(
        "--data", help="its LightningDataModule, by dotted path; its options: --data.NAME"
    )
    parser.add_argument(
        "--include-gates", action="store_true", help="list gates as sites of their own"
    )
    add_json(parser)
    data, rest = take_data(arguments)
    options, rest = parse_some(parser, rest)
    rest = canonical_words(rest, ())
    KnownOptions.of(options.target, data).check(rest, f"actsearch search {options.target}")
    found = _sites(options.target, data, rest, options.include_gates)
    if options.json:
        print_json({"target": options.target, "sites": found.table(), "totals": found.totals()})
        return 0
    rows = [
        (
            *(row["site"], row["kind"], row["activation"], row["block"], row["elements"] or ""),
            f"{row['share']:.1%}" if row["share"] else "",
            f"{row['status']}: {row['reason']}" if row["reason"] else row["status"],
        )
        for row in found.table()
    ]
    header = ("site", "kind", "stands there", "block", "elements", "share", "status")
    styles = ["" if row["status"] == "open" else "dim" for row in found.table()]
    title = f"{options.target}: sites found by {found.method}"
    print_table(title, header, rows, ("elements", "share"), styles)
    totals = found.totals()
    print(
        f"{totals['open']} to search, {totals['protected']} left alone, {totals['missed']} missed"
    )
    return 0


def _sites(name: str, data: str, rest: list[str], include_gates: bool) -> Sites:
    from jsonargparse import ArgumentError, ArgumentParser, Namespace

    from actsearch.search.training.inspect_model import example_input, sites_of
    from actsearch.search.training.job import Job
    from actsearch.search.training.target import (
        Target,
        import_class,
        option_error,
        restore_functions,
    )
    from actsearch.search.training.train import quiet, run_job

    quiet()
    cls = import_class(name, "Module") if "." in name else None
    target = None
    if cls is None or any(base.__name__ == "LightningModule" for base in cls.__mro__):
        target = Target.resolve(name, data)
        parser = target.parser()
    else:
        parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
        parser.add_class_arguments(cls, "task", fail_untyped=False)
    try:
        options = parser.parse_args(rest)
    except ArgumentError as error:
        raise InvalidValueError(option_error(error, parser)) from None
    try:
        if target is None:
            assert cls is not None, "it has a dotted path"
            restore_functions(cls, options.get("task", Namespace()))
            return sites_of(parser.instantiate(options)["task"], None, include_gates)
        config = target.freeze(options)
        # One batch of training, as a search begins: what runs there may be more than what forward
        # calls.
        job = Job(name, config, [], data=data, kind="inspect", include_gates=include_gates)
        info = run_job(job, lambda *_: False).model_info
        if info is not None:
            return info.found
        module, source, trainer = target.build(config)
    except ActsearchError:
        raise
    except Exception as error:
        raise TaskError(
            f"{name} cannot be built: {type(error).__name__}: {error}. Give its options as"
            " --task.NAME."
        ) from None
    return sites_of(module, example_input(module, source, trainer), include_gates)
