"""``actsearch sites TARGET``: what would be searched in a model, and what would not."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from actsearch.cli.options import parse
from actsearch.errors import InvalidValueError

if TYPE_CHECKING:
    from actsearch.placement import Sites


def run(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="actsearch sites", description="Show what would be searched in a model.")
    parser.add_argument("target", help="a task, or the dotted path of a LightningModule or of any torch module")
    parser.add_argument("--include-gates", action="store_true", help="list gates as sites of their own")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="options of the target: --task.hidden 128")
    options = parse(parser, arguments)

    from rich.console import Console
    from rich.table import Table

    sites = _sites(options.target, options.options, options.include_gates)
    table = Table(title=f"{options.target}: sites found by {sites.method}", title_justify="left")
    for name in (
        "site",
        "kind",
        "stands there",
        "block",
        "elements",
        "share",
        "channels",
        "requires",
        "left alone because",
    ):
        table.add_column(name, overflow="fold")
    total = sum(site.elements or 0 for site in sites) or 1
    for site in sites:
        share = f"{(site.elements or 0) / total:.1%}" if site.elements else ""
        cells = (site.name, site.kind, site.activation, site.block, site.elements, share, site.channels, site.requires)
        table.add_row(
            *(str(c or "") for c in cells),
            site.reason if site.protected else "",
            style="dim" if site.protected else None,
        )
    console = Console()
    console.print(table)
    for what, reason in sites.missed:
        console.print(f"missed: {what}: {reason}", highlight=False)
    console.print(
        f"{len(sites.open)} to search, {len(sites) - len(sites.open)} left alone, {len(sites.missed)} missed",
        highlight=False,
    )
    return 0


def _sites(name: str, rest: list[str], include_gates: bool) -> Sites:
    from jsonargparse import ArgumentError

    from actsearch.search.target import Target, option_error
    from actsearch.search.trial import example_input, quiet, sites_of

    quiet()
    target = Target.resolve(name)
    parser = target.parser()
    try:
        module, data, trainer = target.build(target.freeze(parser.parse_args(rest)))
    except ArgumentError as error:
        raise InvalidValueError(option_error(error, parser)) from None
    return sites_of(module, example_input(module, data, trainer), include_gates)
