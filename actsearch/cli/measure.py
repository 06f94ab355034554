"""``actsearch measure STUDY``: measures of the best placement of a study, or of one from a file."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentError, ArgumentParser, Namespace
from jsonargparse.typing import PositiveInt

from actsearch.cli.options import take, take_flags
from actsearch.cli.tables import print_json, print_table
from actsearch.errors import InvalidValueError

if TYPE_CHECKING:
    from actsearch.measures import Fitted, Measure
    from actsearch.measures.loaders import Part
    from actsearch.search.confirm.measured import MeasuredArm
    from actsearch.search.training.target import Target

MEASURE_USAGE = """usage: actsearch measure STUDY [NAME ...] [options]
       actsearch measure best.json --task TASK [NAME ...] [options]

Compute measures of a trained placement, beside those of the model without it: the measures
named, else all that the model can have, but not those that are costly (`actsearch
measures` has "confirm" there). A study's weights are taken where they were kept.
`actsearch measures` lists the names; an own measure is named by package.module.Class.

options:
  --task TASK            what is trained, with a file; its options: --task.NAME, --trainer.NAME
  --data CLASS           its LightningDataModule; its options: --data.NAME
  --measure.NAME.OPTION  an option of a measure, such as --measure.certified_accuracy.radius 0.1
  --pictures FOLDER      writes the measures' pictures there
  --seeds N              trainings of each, paired, with the intervals of what differs (default: 1)
  --part val|test        the split that is measured (default: val)
  --seed SEED            seed of the training, with a file (default: 0)
  --store STORE          folder of the studies (default: mlruns)
  --record URL           PostgreSQL database that has the record
  --json                 prints JSON instead of a table"""


def run(arguments: list[str]) -> int:
    """Run the command."""
    if not arguments or {"-h", "--help"}.intersection(arguments):
        print(MEASURE_USAGE)
        return 0 if arguments else 2
    words = [*arguments, "--"]
    first = next(i for i, word in enumerate(words) if word.startswith("-"))
    (what, *names), rest = words[:first] or [""], arguments[first:]
    if not what:
        raise InvalidValueError(
            f"a study or a file must come first, but got {arguments[0]!r}. Write: actsearch"
            " measure STUDY [NAME ...] [options]."
        )
    flags, rest = take_flags(["json"], rest)
    task, rest = take("--task", rest)
    data, rest = take("--data", rest)
    file = what.startswith("runs:/") or what.endswith(".json")
    if file and not task:
        raise InvalidValueError(
            f"a placement file must come with --task, but got {what!r} alone. Add what to train,"
            " such as --task classification."
        )
    if task and not file:
        raise InvalidValueError(
            f"a study knows what it trains, but got {what!r} with --task {task}. Leave it out, or"
            " give a placement file."
        )

    from actsearch.measures import build, check, find, possible
    from actsearch.search.confirm.measured import arms_of_file, arms_of_study
    from actsearch.search.training.target import Target, option_error
    from actsearch.search.training.train import quiet

    quiet()
    classes = [find(name) for name in names]
    target = Target.resolve(task, data) if file else None
    parser = _parser(classes, target)
    try:
        options = parser.parse_args(rest)
    except ArgumentError as error:
        raise InvalidValueError(option_error(error, parser)) from None
    if Path(options.pictures).is_file():
        raise InvalidValueError(f"pictures must be a folder, but {options.pictures} is a file.")
    given = options.get("measure", {})
    measures = [build(cls, dict(vars(given.get(cls.name, Namespace())))) for cls in classes]
    if target is not None:
        arms = arms_of_file(what, task, data, target.freeze(options), options.seed)
    else:
        arms = arms_of_study(what, options.store, options.record)
    untrained = arms[1].untrained(options.part)
    check(untrained, measures)  # what cannot be had is told before any training
    measures = measures or [m for m in map(build, possible(untrained)) if m.when != "confirm"]
    found, placed = _measured(arms, measures, options.seeds, options.part)
    names = [arm.name for arm in arms]
    if flags:
        print_json({"of": what, "measures": _compared(names, found)})
    else:
        _print(what, names, _compared(names, found))
    if options.pictures:
        placed.start = untrained
        _draw(measures, placed, Path(options.pictures))
    return 0


def _measured(
    arms: Sequence[MeasuredArm], measures: Sequence[Measure], seeds: int, part: Part
) -> tuple[list[list[dict[str, float]]], Fitted]:
    """Return what each arm comes to, by seed, and the second one with its own seed, trained."""
    from actsearch.search.confirm.measured import values_of

    found: list[list[dict[str, float]]] = [[] for _ in arms]
    own: Fitted | None = None
    for number in range(seeds):
        for arm, values in zip(arms, found, strict=True):
            one = arm.with_seed(number)
            if one.weights is None:
                print(f"training the {arm.name}, {number + 1} of {seeds}", file=sys.stderr)
            fitted = one.trained(part)
            values.append(values_of(fitted, measures))
        own = own or fitted
    assert own is not None, "there is at least one seed"
    return found, own


def _parser(measures: Sequence[type[Measure]], target: Target | None) -> ArgumentParser:
    parser = ArgumentParser(prog="actsearch measure", exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--part", choices=["val", "test"], default="val")
    parser.add_argument("--seeds", type=PositiveInt, default=1)
    parser.add_argument("--pictures", type=str, default="")
    for cls in measures:
        parser.add_class_arguments(cls, f"measure.{cls.name}", fail_untyped=False)
    if target is None:
        parser.add_argument("--store", type=str, default="mlruns")
        parser.add_argument("--record", type=str, default="")
    else:
        parser.add_argument("--seed", type=int, default=0)
        target.add_options(parser)
    return parser


def _draw(measures: Sequence[Measure], fitted: Fitted, folder: Path) -> None:
    """Write the pictures of measures into a folder."""
    from actsearch.measures.undisturbed import undisturbed

    folder.mkdir(parents=True, exist_ok=True)
    for measure in measures:
        with undisturbed(fitted.module):
            measure.pictures(fitted, folder)
    print(f"pictures: {folder}", file=sys.stderr)


def _compared(
    names: Sequence[str], found: Sequence[Sequence[dict[str, float]]]
) -> list[dict[str, Any]]:
    """Return means over seeds, and paired differences with their intervals where there are some."""
    from actsearch.search.confirm.racing import compare

    rows = []
    for name in dict.fromkeys(key for arm in found for values in arm for key in values):
        pairs = [[values.get(name, math.nan) for values in arm] for arm in found]
        row: dict[str, Any] = {"measure": name} | {
            arm: fmean(each) for arm, each in zip(names, pairs, strict=True)
        }
        if len(found[0]) > 1:
            both = compare([after - before for before, after in zip(*pairs, strict=True)])
            row |= {"difference": both.gain, "low": both.low, "high": both.high}
        rows.append(row)
    return rows


def _print(title: str, names: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    header = ["measure", *names]
    if any("difference" in row for row in rows):
        header += ["difference", "95 % interval"]
    cells = []
    for row in rows:
        line = [row["measure"]]
        line += ["–" if math.isnan(row[name]) else f"{row[name]:.6g}" for name in names]
        if math.isfinite(row.get("difference", math.nan)):
            line += [f"{row['difference']:+.4g}", f"[{row['low']:+.4g}, {row['high']:+.4g}]"]
        cells.append(line + [""] * (len(header) - len(line)))
    print_table(title, header, cells, right=header[1:])
