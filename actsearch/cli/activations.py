"""``actsearch activations``: the catalogue as a table or a sheet of curves, or one entry whole."""

from __future__ import annotations

import argparse
import inspect
import math
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actsearch.cli.options import parse_arguments
from actsearch.cli.tables import add_json, print_json, print_table
from actsearch.errors import InvalidValueError, UnknownNameError

if TYPE_CHECKING:
    from actsearch.activations import Activation, Properties

COLUMNS = (
    "smoothness",
    "derivative_bound",
    "minimum",
    "maximum",
    "kappa",
    "forward_gain",
    "sparsity",
    "pieces",
    "cost",
)
FLAGS = ("monotone", "bounded", "odd", "convex", "bijective", "zero_preserving")


def run(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="actsearch activations",
        description=(
            "List activations with their properties, or show one whole: actsearch activations NAME."
        ),
    )
    parser.add_argument(
        "name",
        nargs="?",
        help="a name or an expression, to show whole: formula, reference, properties, plot",
    )
    parser.add_argument(
        "--where", default="", help='a condition such as "smoothness >= 2 and bounded", of --facts'
    )
    parser.add_argument("--facts", action="store_true", help="list the facts for --where")
    parser.add_argument("--family", default="", help="one family only")
    parser.add_argument(
        "--picture",
        default="",
        help="draw the curves and derivatives of what is listed into this file",
    )
    add_json(parser)
    options = parse_arguments(parser, arguments)
    if options.picture and not (folder := Path(options.picture).absolute().parent).is_dir():
        raise InvalidValueError(
            "picture must be a file that can be written, such as sheet.png, but there is no folder"
            f" {folder}."
        )
    if options.facts:
        _list_facts(options.json)
        return 0
    if options.name:
        from actsearch.activations import activation

        chosen = {options.name: activation(options.name)}
    else:
        chosen = _chosen(options.where, options.family)
    if options.json:
        print_json([_data(name, entry) for name, entry in chosen.items()])
    elif options.name:
        _show(options.name, chosen[options.name])
    else:
        _list(chosen)
    if options.picture:
        from actsearch.tracking.pictures import sheet

        sheet(chosen, Path(options.picture))
        print(f"{options.picture}: {len(chosen)} activations", file=sys.stderr)
    return 0


def _list_facts(as_json: bool) -> None:
    """Print what a condition may speak of."""
    from actsearch.activations import Properties
    from actsearch.activations.properties.properties import FACTS
    from actsearch.cli.declared import declared

    stated = declared(f"{Properties.__module__}.{Properties.__name__}")
    assert stated is not None, "its source comes along"
    found = {}
    for name in FACTS:
        option, derived = stated.options.get(name), getattr(Properties, name, None)
        found[name] = option.help if option else (inspect.getdoc(derived) or "")
    if as_json:
        print_json([{"name": name, "what": what} for name, what in found.items()])
    else:
        print_table("facts for --where", ("fact", "what it says"), list(found.items()))


def _data(name: str, entry: Activation) -> dict[str, Any]:
    """Return an entry as plain data."""
    from actsearch.activations import properties
    from actsearch.activations.properties.properties import FACTS
    from actsearch.activations.registry import family

    facts = properties(entry)
    return {
        "name": name,
        "family": family(type(entry)),
        "formula": entry.formula,
        "reference": entry.reference,
        "parameters": dict(entry.values),
        "learn": list(entry.learn),
        "facts": {fact: facts.fact(fact) for fact in FACTS},
        "declared": sorted(facts.declared),
        "scope": facts.scope,
    }


def _chosen(where: str, wanted: str) -> dict[str, Activation]:
    from actsearch.activations import Requirement, activation, catalogue, properties
    from actsearch.activations.registry import family

    families = sorted({family(entry) for entry in catalogue().values()})
    if wanted and wanted not in families:
        raise UnknownNameError.among(
            "family", wanted, families, "`actsearch activations` shows each."
        )
    requirement = Requirement(where)
    entries = {
        name: activation(name)
        for name, entry in catalogue().items()
        if not wanted or family(entry) == wanted
    }
    return {
        name: entry
        for name, entry in entries.items()
        if not where or requirement.allows(properties(entry))
    }


def _list(chosen: dict[str, Activation]) -> None:
    from actsearch.activations import properties
    from actsearch.activations.registry import family

    rows = []
    for name, entry in chosen.items():
        facts = properties(entry)
        flags = ", ".join(flag.replace("_", " ") for flag in FLAGS if facts.fact(flag))
        numbers = (_number(facts.fact(column)) for column in COLUMNS)
        rows.append((name, family(type(entry)), entry.formula, *numbers, flags))
    columns = [column.replace("_", " ") for column in COLUMNS]
    header = ("name", "family", "formula", *columns, "is")
    print_table(f"{len(chosen)} activations", header, rows, right=columns)


def _show(name: str, entry: Activation) -> None:
    from actsearch.activations import Properties, properties
    from actsearch.activations.base import Parameter
    from actsearch.activations.properties.properties import FACTS

    facts = properties(entry)
    reference = entry.reference or "(no single source)"
    document = inspect.cleandoc(type(entry).__doc__ or "").splitlines()
    print(
        f"{name}: {document[0] if document else ''}\n\n  φ(x) = {entry.formula or name}\n "
        f" {textwrap.shorten(reference, 400)}\n"
    )
    for key, argument in entry.arguments.items():
        if isinstance(argument, Parameter):
            learned = ", learned unless told otherwise" if key in entry.learn else ""
            print(f"  {key} = {entry.values[key]:g}, in {argument.constraint}{learned}")
        else:
            choices = f", one of {list(argument.choices)}" if argument.choices else ""
            print(f"  {key} = {entry.values[key]!r}{choices}")
    print(f"\n  properties ({_scope(facts)}; * estimated):")
    for fact in FACTS:
        estimated = fact in Properties.__dataclass_fields__ and fact not in facts.declared
        print(f"    {fact:<24} {_number(facts.fact(fact))}{' *' if estimated else ''}")
    for dtype, reach in facts.safe_range.items():
        print(f"    safe on ±{_number(reach):<14} {dtype}")
    print("\n" + _plot(entry))


def _scope(facts: Properties) -> str:
    return {
        "fixed": "nothing is learned",
        "every value": "hold for every value that training may reach",
    }.get(facts.scope, "hold for the initial values; training may change them")


def _number(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:.4g}"


def _plot(entry: Activation, width: int = 61, height: int = 15, reach: float = 4.0) -> str:
    """Return the curve as text: φ as ●, axes as lines."""
    import torch

    x = torch.linspace(-reach, reach, width, dtype=torch.float64)
    y = entry.plain()(x).detach()
    low, high = (
        float(y[y.isfinite()].min().clamp(-reach, 0)),
        float(y[y.isfinite()].max().clamp(0.5, reach)),
    )
    rows = [[" "] * width for _ in range(height)]

    def row_of(value: float) -> int:
        return round((high - value) / (high - low) * (height - 1))

    rows[row_of(0.0)] = ["─"] * width
    for line in rows:
        line[width // 2] = "│"
    for column, value in enumerate(y.tolist()):
        if low <= value <= high:
            rows[row_of(value)][column] = "●"
    return "\n".join(
        f"    {high - (high - low) * index / (height - 1):6.2f} {''.join(line)}"
        for index, line in enumerate(rows)
    )
