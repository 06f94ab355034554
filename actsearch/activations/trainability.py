"""Whether a function can be trained through, by what it is on a range of inputs.

:func:`check_function` judges one candidate of a search, at a site's own range and in the training's
dtype, and says why. :func:`usable` sifts drawn expressions, many at once, on one range. They share
what a pole is; for the rest they are two, because one seed must go on giving one pool of
expressions, and of 1,727 drawn ones they disagree on six (nearly flat, or steep beyond single
precision at one point of one of the grids).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from actsearch.activations.base import Activation
from actsearch.activations.expression.evaluate import evaluate
from actsearch.activations.registry import activation
from actsearch.errors import InvalidValueError

GRID_POINTS = 1001
"""Points on which one candidate is judged."""

STEEP = 10.0
"""A slope from which on a pole is looked for."""

FINER = 8
SHARPER = 4.0
"""A slope this much steeper on a grid ``FINER`` times as fine is a pole, not a steep place."""

USABLE_RANGE = 5.0
"""A usable expression is so on [-5, 5]: what a normalised layer feeds it."""

LARGEST_SINGLE = float(torch.finfo(torch.float32).max)


@dataclass(frozen=True)
class Trainability:
    """Whether a candidate can be trained through.

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


PASSED = Trainability(True)


def check_function(
    candidate: str | Activation,
    low: float,
    high: float,
    dtype: torch.dtype = torch.float32,
    order: int = 1,
    zero: bool = True,
) -> Trainability:
    """Whether a function can be trained through on a range.

    It is finite there with its derivatives, has no pole, and is not constant.

    Numerics: judged on 1,001 points in the training dtype (float32 for half precision, in which
    autocast computes what is not a matrix product). A pole between two points shows as a slope that
    grows with the number of points.

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
    grid = _grid(low, high, GRID_POINTS, dtype if dtype.itemsize >= 4 else torch.float32, zero)
    found = _derivatives(function, grid, order)
    for name, values in zip(("value", "derivative", "second derivative"), found, strict=False):
        if not bool(values.isfinite().all()):
            at = int((~values.isfinite()).nonzero()[0])
            return Trainability(
                False, f"not finite: the {name} is {float(values[at])} at {float(grid[at]):.4g}"
            )
    value, slope = found[:2]
    size = max(1.0, float(value.abs().max()))
    if float(value.max() - value.min()) <= 1e-6 * size:
        return Trainability(
            False,
            f"constant: its values on [{low:.3g}, {high:.3g}] span"
            f" {float(value.max() - value.min()):.2g}",
        )
    steepest = float(slope.abs().max())
    if float((slope.abs() > 1e-6 * steepest).double().mean()) < 0.01:
        return Trainability(
            False, f"flat: its derivative is 0 nearly everywhere on [{low:.3g}, {high:.3g}]"
        )
    if steepest > STEEP:
        fine_grid = _grid(low, high, FINER * GRID_POINTS, grid.dtype, zero)
        finer = _derivatives(function, fine_grid, 1)[1]
        sharpest = float(finer.nan_to_num(nan=math.inf).abs().max())
        if sharpest > SHARPER * steepest:
            return Trainability(
                False,
                f"pole: its slope on [{low:.3g}, {high:.3g}] reaches {sharpest:.2g} and grows with"
                " the grid",
            )
    return PASSED


def usable(texts: list[str]) -> list[str]:
    """Return the expressions that are finite in value and derivative on [-5, 5], and vary there.

    Numerics: judged on 201 points, 0 among them. A pole between two points shows as a derivative
    that grows with the number of points: where the steepest one of 201 exceeds 10, 1,601 points
    must not find one four times as steep.

    >>> usable(["tanh(x)", "log(x)", "min(-9,x)"])
    ['tanh(x)']
    """
    if not texts:
        return []
    values, slopes = evaluate(texts, _symmetric_grid(100))
    bounded = (values.abs() <= LARGEST_SINGLE).all(1)  # false for NaN too
    finite = bounded & (slopes.abs() <= LARGEST_SINGLE).all(1)
    varies = values.amax(1) - values.amin(1) > 1e-6
    steepest = slopes.abs().amax(1)
    steep = (finite & varies & (steepest > STEEP)).nonzero().flatten().tolist()
    _, finer = evaluate([texts[i] for i in steep], _symmetric_grid(FINER * 100))
    finite[steep] = finer.abs().amax(1) < SHARPER * steepest[steep]
    return [text for text, good in zip(texts, (finite & varies).tolist(), strict=True) if good]


def _symmetric_grid(points: int) -> Tensor:
    # 0 is one of the points: it is where reciprocal, log and sqrtabs break.
    return torch.arange(-points, points + 1, dtype=torch.float64) * (USABLE_RANGE / points)


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
