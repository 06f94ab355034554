"""``actsearch export STUDY``: its trials as CSV or JSON, its best network as ONNX or C."""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actsearch.cli.options import add_store, parse_arguments
from actsearch.errors import StudyError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from actsearch.measures import Fitted
    from actsearch.search.study.record import StudyRun

MOST_CHECKED = 10
"""What a file is checked with, at most."""


def run(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="actsearch export",
        description=(
            "Write the trials of a study as a table, or the trained network of its best placement,"
            " as its forward computes it, and check that file against torch. Its weights are those"
            " of the search where they were kept, else it is trained again as it was found."
        ),
    )
    parser.add_argument("study", help="name of the study")
    parser.add_argument(
        "--to",
        choices=["csv", "json", "onnx", "c"],
        required=True,
        help="one row a trial; ONNX; or one file of C99",
    )
    parser.add_argument("--output", default="", help="file to write (default: STUDY.csv, ...)")
    parser.add_argument(
        "--seed", type=int, default=0, help="another training than the search's own (default: 0)"
    )
    parser.add_argument(
        "--opset", type=int, default=20, help="of ONNX; 18 has GELU by its parts (default: 20)"
    )
    add_store(parser)
    options = parse_arguments(parser, arguments)

    from actsearch.search.study.record import StudyRun
    from actsearch.search.study.store import Store

    run = StudyRun.load(Store(options.store, options.record), options.study)
    path = Path(options.output or f"{options.study}.{options.to}")
    path.parent.mkdir(parents=True, exist_ok=True)
    if options.to in ("csv", "json"):
        _trials(run, path, options.to)
    else:
        _network(run, path, options)
    return 0


def _trials(run: StudyRun, path: Path, kind: str) -> None:
    """Write one row a trial."""
    from actsearch.cli.tables import finite, trial_row
    from actsearch.placement.files import write_text

    rows = [trial_row(run, trial) for trial in run.trials]
    if kind == "json":
        write_text(path, json.dumps(finite(rows), indent=1, allow_nan=False) + "\n")
    else:
        flat = [_flat(row) for row in rows]
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, list(dict.fromkeys(key for row in flat for key in row)))
        table.writeheader()
        table.writerows(flat)
        write_text(path, text.getvalue())
    print(f"{path}: {len(rows)} trials")


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with a column for each value and each parameter."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        flat |= (
            {f"{key}.{n}": v for n, v in value.items()} if isinstance(value, dict) else {key: value}
        )
    return flat


def _network(run: StudyRun, path: Path, options: argparse.Namespace) -> None:
    """Write the network of the best placement, and check the file."""
    import torch

    from actsearch.search.confirm.measured import arms_of_study
    from actsearch.search.training.train import quiet

    quiet()
    if run.config.model:
        raise StudyError(
            f"a study must train a LightningModule to be exported, but {options.study!r} trains by"
            " a function. Apply best.json to your trained model and call"
            " actsearch.export.write_c(model, inputs, file), or write_onnx."
        )
    arm = arms_of_study(options.study, options.store, options.record)[1].with_seed(options.seed)
    if arm.weights is None:
        print("training the placement", file=sys.stderr)
    fitted = arm.trained("val")
    rows = _samples(fitted)
    if any(row.dtype == torch.float64 for row in rows):
        print("its double precision becomes single, as devices have it", file=sys.stderr)
        fitted.module.float()
        rows = [row.float() for row in rows]
    if options.to == "onnx":
        _onnx(fitted.module, rows, path, options.opset)
    else:
        _c(fitted.module, rows, path)


def _onnx(module: nn.Module, rows: list[Tensor], path: Path, opset: int) -> None:
    from actsearch.export import check_onnx, write_onnx

    free = write_onnx(module, rows, path, opset)
    how_many = "any number of samples" if free else "one sample at a time"
    print(f"{path}: {path.stat().st_size} bytes, {how_many}")
    difference, allowed = check_onnx(path, module, rows if free else [row[:1] for row in rows])
    print(f"ONNX Runtime against torch: {difference:.2g} at most, {allowed:.2g} allowed")


def _c(module: nn.Module, rows: list[Tensor], path: Path) -> None:
    from actsearch.export import c_compiler, check_c, write_c

    source = write_c(module, rows, path)
    print(f"{path}: {source.flash_bytes} bytes of weights, {source.ram_bytes} of buffers")
    if c_compiler() is None:
        print("not compiled: there is no cc, gcc or clang. Its head says how to test it.")
        return
    checked = check_c(path)
    print(f"C against torch: {checked.difference:.2g} at most, {checked.allowed:.2g} allowed")


def _samples(fitted: Fitted) -> list[Tensor]:
    """Return inputs of forward: rows of the first batch, or of the example if that is another."""
    from actsearch.errors import MeasureError
    from actsearch.measures.batch import tensors_of

    example = tensors_of(fitted.module, fitted.example)
    try:
        rows = tensors_of(fitted.module, fitted.first())
    except MeasureError:
        rows = example
    same = [one.shape[1:] for one in rows] == [one.shape[1:] for one in example]
    return [one[:MOST_CHECKED] for one in (rows if same else example)]
