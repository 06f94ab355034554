"""``actsearch measures``: the measures of a trained model, a line each, and what each needs."""

from __future__ import annotations

import argparse
import inspect
from typing import Any

from actsearch.cli.options import parse_arguments
from actsearch.cli.tables import add_json, print_json, print_table


def run(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="actsearch measures",
        description="List the measures of a trained model, and what a module must offer for each.",
    )
    add_json(parser)
    options = parse_arguments(parser, arguments)

    from actsearch.measures import all_measures
    from actsearch.measures.measure import NEEDS

    found: list[dict[str, Any]] = [
        {
            "name": name,
            "better": cls.direction or "",
            "needs": sorted(cls.needs),
            "when": cls.when,
            "options": {
                option.name: option.default for option in inspect.signature(cls).parameters.values()
            },
            "what": (inspect.getdoc(cls) or "").partition("\n")[0],
        }
        for name, cls in all_measures().items()
    ]
    if options.json:
        print_json(found)
        return 0
    rows = [
        (
            *(one["name"], one["better"], ", ".join(one["needs"]), one["when"]),
            ", ".join(f"{key}={value!r}" for key, value in one["options"].items()),
            one["what"],
        )
        for one in found
    ]
    header = ("name", "better", "needs", "when", "options", "what")
    print_table("measures of a trained model", header, rows)
    for need, offered in NEEDS.items():
        print(f"{need:<18} {offered}")
    print(
        "\nOf a trained placement: actsearch measure STUDY [NAME ...]. Your own measure:"
        " package.module.YourMeasure"
    )
    return 0
