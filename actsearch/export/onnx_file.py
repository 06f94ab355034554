"""A network as an ONNX file, with any number of samples."""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from actsearch.errors import ExportError
from actsearch.export.c_text import allowed
from actsearch.export.traced import exportable

OPSET = 20
"""The first that has GELU as an operator; an earlier one has it by its parts."""


def write_onnx(
    model: nn.Module, inputs: Sequence[Tensor], path: str | Path, opset: int = OPSET
) -> bool:
    """Write a model in evaluation mode as ONNX.

    Args:
        model: any module.
        inputs: of its forward, samples first.
        path: the file.
        opset: version of ONNX's operators. Some runtimes of devices lack GELU, which opset 18 has
            by its parts.

    Returns:
        Whether it takes any number of samples; one at a time where its forward counts them.

    Raises:
        ExportError: its forward is no fixed sequence of operations, or the extra ``edge`` is
            missing.
    """
    _need("onnxscript")
    free = tuple({0: torch.export.Dim.DYNAMIC} for _ in inputs)
    with exportable(model) as forward, contextlib.redirect_stdout(io.StringIO()):
        rows = tuple(tensor.detach() for tensor in inputs)
        try:
            two = tuple(row[:1].repeat_interleave(2, 0) for row in rows)
            program = torch.export.export(forward, two, dynamic_shapes=(free,), strict=False)
            any_number = True
        except Exception:  # whatever it is, it comes again with one sample if it is another
            one = tuple(row[:1] for row in rows)
            program = torch.export.export(forward, one, strict=False)
            any_number = False
        written = torch.onnx.export(
            program,
            input_names=_names("x", len(rows)),
            opset_version=opset,
            dynamo=True,
            verbose=False,
        )
        assert written is not None, "dynamo gives a program"
        written.save(str(path))
    return any_number


def check_onnx(path: str | Path, model: nn.Module, inputs: Sequence[Tensor]) -> tuple[float, float]:
    """Return the largest difference between ONNX Runtime and torch, and what is allowed.

    Args:
        path: the file.
        model: what it was written from.
        inputs: of its forward, samples first.

    Raises:
        ExportError: they differ by more than 1e-6 of the largest output, or of 1; or ONNX Runtime
            has no such operator; or the extra ``edge`` is missing.
    """
    runtime = _need("onnxruntime")
    rows = [tensor.detach().cpu()[:10] for tensor in inputs]
    with exportable(model) as forward:
        expected = torch.utils._pytree.tree_leaves(forward(*rows))
    try:
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        names = [one.name for one in session.get_inputs()]
        found = session.run(None, {n: row.numpy() for n, row in zip(names, rows, strict=True)})
    except Exception as error:  # the runtime has a type for each of its own
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ExportError(f"ONNX Runtime must run {path}, but says: {reason}") from error
    pairs = zip(found, expected, strict=True)
    difference = max(float((torch.from_numpy(one) - same).abs().max()) for one, same in pairs)
    most = allowed(expected)
    if not difference <= most:
        raise ExportError(
            f"{path} must give what torch gives, but ONNX Runtime differs by {difference:.3g}, more"
            f" than {most:.3g}."
        )
    return difference, most


def _names(letter: str, count: int) -> list[str]:
    return [letter] if count == 1 else [f"{letter}_{place}" for place in range(count)]


def _need(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ExportError(
            f"{module} must be installed for ONNX, but it is not. Run: pip install"
            " 'actsearch[edge]'."
        ) from None
