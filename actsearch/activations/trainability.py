"""Whether a function can be trained through, by what it is on a range of inputs: the gate's check of one activation."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from actsearch.activations.base import Activation
from actsearch.activations.registry import activation
from actsearch.errors import InvalidValueError

POINTS = 1001
SHARPER = 4.0
"""A slope this much steeper on a grid eight times as fine is a pole, not a steep place."""


@dataclass(frozen=True)
class Verdict:
    """What the gate says of a candidate.

    Args:
        passed: whether it is worth a training.
        reason: why not: a word that can be counted, and what was found.
        figures: what was measured on the way, each as a ratio to the baseline.
    """

    passed: bool
    reason: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.passed


PASSED = Verdict(True)


def check_function(
    candidate: str | Activation,
    low: float,
    high: float,
    dtype: torch.dtype = torch.float32,
    order: int = 1,
    zero: bool = True,
) -> Verdict:
    """Whether a function can be trained through: finite with its derivatives on a range, no pole there, not constant.

    Numerics: judged on 1,001 points in the training dtype (float32 for half
    precision, in which autocast computes what is not a matrix product). A pole between two points
    shows as a slope that grows with the number of points.

    Args:
        candidate: a name, an expression, or an activation.
        low: lower end of the range.
        high: upper end.
        dtype: of the training.
        order: derivatives that must be finite: 1, or 2 where the task differentiates twice.
        zero: whether it must be finite at exactly 0 too; an input that is never cut or padded does
            not hit it.

    Raises:
        InvalidValueError: no range, or an order other than 1 and 2.

    >>> check_function("log(x)", -1.0, 1.0).reason
    'not finite: the value is nan at -1'
    >>> check_function("relu", -1.0, 1.0).passed
    True

    """
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InvalidValueError(f"range must have finite low < high, but got {low=!r}, {high=!r}.")
    if order not in (1, 2):
        raise InvalidValueError(f"order must be 1 or 2, but got {order!r}.")
    function = activation(candidate) if isinstance(candidate, str) else candidate
    function = copy.deepcopy(function).to(dtype if dtype.itemsize >= 4 else torch.float32)
    grid = _grid(low, high, POINTS, dtype if dtype.itemsize >= 4 else torch.float32, zero)
    found = _derivatives(function, grid, order)
    for name, values in zip(("value", "derivative", "second derivative"), found, strict=False):
        if not bool(values.isfinite().all()):
            at = int((~values.isfinite()).nonzero()[0])
            return Verdict(
                False, f"not finite: the {name} is {float(values[at])} at {float(grid[at]):.4g}"
            )
    value, slope = found[:2]
    size = max(1.0, float(value.abs().max()))
    if float(value.max() - value.min()) <= 1e-6 * size:
        return Verdict(
            False,
            f"constant: its values on [{low:.3g}, {high:.3g}] span"
            f" {float(value.max() - value.min()):.2g}",
        )
    steepest = float(slope.abs().max())
    if float((slope.abs() > 1e-6 * steepest).double().mean()) < 0.01:
        return Verdict(
            False, f"flat: its derivative is 0 nearly everywhere on [{low:.3g}, {high:.3g}]"
        )
    if steepest > 10:
        finer = _derivatives(function, _grid(low, high, 8 * POINTS, grid.dtype, zero), 1)[1]
        sharpest = float(finer.nan_to_num(nan=math.inf).abs().max())
        if sharpest > SHARPER * steepest:
            return Verdict(
                False,
                f"pole: its slope on [{low:.3g}, {high:.3g}] reaches {sharpest:.2g} and grows with"
                " the grid",
            )
    return PASSED


def _grid(low: float, high: float, points: int, dtype: torch.dtype, zero: bool) -> Tensor:
    grid = torch.linspace(low, high, points, dtype=torch.float64)
    if low < 0 < high:
        nearest = grid.abs().argmin()
        grid[nearest] = 0.0 if zero else 0.3 * (high - low) / points  # near 0, where a pole shows
    return grid.to(dtype)


def _derivatives(function: nn.Module, grid: Tensor, order: int) -> list[Tensor]:
    x = grid.clone().requires_grad_()
    found = [function(x)]
    for k in range(order):
        slope = None
        if found[-1].requires_grad:
            (slope,) = torch.autograd.grad(
                found[-1].sum(), x, create_graph=k + 1 < order, allow_unused=True
            )
        found.append(torch.zeros_like(x) if slope is None else slope)
    return [values.detach() for values in found]
