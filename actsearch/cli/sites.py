"""``actsearch sites TARGET``: what would be searched in a model, and what would not."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from actsearch.cli.options import parse_arguments, take_data
from actsearch.errors import ActsearchError, InvalidValueError, TaskError

if TYPE_CHECKING:
    from actsearch.placement import Sites


def run(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="actsearch sites", description="Show what would be searched in a model."
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
    parser.add_argument(
        "options", nargs=argparse.REMAINDER, help="options of the target: --task.hidden 128"
    )
    data, rest = take_data(arguments)
    options = parse_arguments(parser, rest)

    from rich.console import Console
    from rich.table import Table

    sites = _sites(options.target, data, options.options, options.include_gates)
    table = Table(title=f"{options.target}: sites found by {sites.method}", title_justify="left")
    for name in ("site", "kind", "stands there", "block", "elements", "share", "status"):
        table.add_column(
            name, overflow="fold", justify="right" if name in ("elements", "share") else "left"
        )
    for row in sites.table():
        share = f"{row['share']:.1%}" if row["share"] else ""
        status = f"{row['status']}: {row['reason']}" if row["reason"] else row["status"]
        cells = (
            row["site"],
            row["kind"],
            row["activation"],
            row["block"],
            row["elements"],
            share,
            status,
        )
        table.add_row(
            *(str(cell or "") for cell in cells), style=None if row["status"] == "open" else "dim"
        )
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table)
    totals = sites.totals()
    console.print(
        f"{totals['open']} to search, {totals['protected']} left alone, {totals['missed']} missed",
        highlight=False,
    )
    return 0


def _sites(name: str, data: str, rest: list[str], include_gates: bool) -> Sites:
    from jsonargparse import ArgumentError, ArgumentParser

    from actsearch.search.training.inspect_model import example_input, sites_of
    from actsearch.search.training.job import Job
    from actsearch.search.training.target import Target, import_class, option_error
    from actsearch.search.training.train import quiet, run_job

    quiet()
    cls = import_class(name, "Module") if "." in name else None
    lightning = cls is None or any(base.__name__ == "LightningModule" for base in cls.__mro__)
    if lightning:
        target = Target.resolve(name, data)
        parser = target.parser()
    else:
        parser = ArgumentParser(exit_on_error=False)
        parser.add_class_arguments(cls, "task", fail_untyped=False)
    try:
        options = parser.parse_args(rest)
    except ArgumentError as error:
        raise InvalidValueError(option_error(error, parser)) from None
    try:
        if not lightning:
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
