"""Facts of shape, estimated from values and derivatives on a grid, at breaks and far away."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from actsearch.activations.properties.breaks import (
    HIGHEST_ORDER,
    Break,
    Function,
    derivatives,
    find_breaks,
    grid,
    smoothness,
)

TAIL = torch.tensor([1e4, 1e6, 1e8], dtype=torch.float64)
"""Points far away, where a function has come near its asymptotes."""


def shape(φ: Function) -> dict[str, Any]:
    """Return every fact of shape, estimated.

    Args:
        φ: an activation or any elementwise function, float64.
    """
    x, values = differentiated(φ, HIGHEST_ORDER)
    return shape_from(φ, x, values, find_breaks(φ, x, values))


def shape_from(φ: Function, x: Tensor, values: list[Tensor], breaks: list[Break]) -> dict[str, Any]:
    """Return facts of shape, from values on the grid, at the breaks and far away."""
    y, slope = values[0], values[1]
    finite = bool(y.isfinite().all())
    seen_to = math.inf if len(values) > HIGHEST_ORDER else 1  # a kernel may have no φ''
    smooth = min(smoothness(breaks), seen_to) if finite else -1
    ends = torch.tensor(
        [end for found in breaks for end in (found.below, found.above)], dtype=torch.float64
    )
    zoomed = [_around(x, each) for each in (y, -y, slope, -slope)]
    points = torch.cat([*zoomed, ends, torch.zeros(1, dtype=torch.float64), -TAIL, TAIL])
    more, more_slope = derivatives(φ, points, 1)
    left_far, right_far = more[-6:-3], more[-3:]
    sample = torch.linspace(0.0137, 40, 257, dtype=torch.float64)
    probed = torch.cat([sample, -sample, 2 * sample, -2 * sample, torch.zeros_like(sample[:1])])
    at, mirrored, double, zero = φ(probed).detach().split([257, 257, 514, 1])
    near, near_slope = torch.cat([y, more[:-6]]), torch.cat([slope, more_slope[:-6]])
    lowest = _least_upper_bound(-near, -left_far, -right_far)
    highest = _least_upper_bound(near, left_far, right_far)
    steepest = _least_upper_bound(near_slope.abs(), more_slope[-6:-3].abs(), more_slope[-3:].abs())
    scale = 1e-9 * (1 + slope.abs())
    rounding = 1e-12 * (1 + y[1:].abs())
    rising, falling = bool((y.diff() >= -rounding).all()), bool((y.diff() <= rounding).all())
    strict = _strict(x, slope, breaks)
    return {
        "smoothness": smooth,
        "derivative_bound": math.inf if smooth < 0 or steepest > 1e5 else rounded(steepest, 10),
        "minimum": -rounded(lowest, 10),
        "maximum": rounded(highest, 10),
        "monotone": finite and rising,
        "odd": _same(at, -mirrored),
        "even": _same(at, mirrored),
        "zero_preserving": bool(zero.abs() < 1e-12),
        "convex": smooth >= 0 and bool((slope.diff() >= -scale[1:]).all()),
        "bijective": smooth >= 0 and (rising or falling) and strict,
        "positively_homogeneous": _same(double, 2 * torch.cat([at, mirrored])),
        "pieces": _pieces(x, y, slope, breaks) if finite else None,
        "left": _limit(left_far / -TAIL),
        "right": _limit(right_far / TAIL),
    }


def differentiated(φ: Function, order: int) -> tuple[Tensor, list[Tensor]]:
    """Return the grid, and the derivatives on it up to the order that torch has.

    The grid ends where φ overflows.
    """
    x = grid()
    try:
        values = derivatives(φ, x, order)
    except RuntimeError:  # a kernel without a second derivative
        values = derivatives(φ, x, 1)
    overflow = values[0].isinf() | (values[1].isinf() & ~values[0].isnan())
    inner = (~overflow).nonzero().flatten()
    if len(inner) == 0:
        return x, values
    inside = slice(int(inner[0]), int(inner[-1]) + 1)
    return x[inside], [value[inside] for value in values]


def rounded(value: float, digits: int = 12) -> float:
    """Return the value without the last, uncertain digits."""
    return float(f"{value:.{digits}g}")


def _same(a: Tensor, b: Tensor) -> bool:
    return bool(torch.allclose(a, b, rtol=1e-9, atol=1e-12))


def _around(x: Tensor, value: Tensor) -> Tensor:
    """Return a fine grid in the two cells next to the largest finite value."""
    best = int(torch.where(value.isfinite(), value, -torch.inf).argmax())
    return torch.linspace(
        float(x[max(best - 1, 0)]), float(x[min(best + 1, len(x) - 1)]), 2001, dtype=torch.float64
    )


def _least_upper_bound(values: Tensor, *tails: Tensor) -> float:
    """Return the least upper bound: the largest value, or a limit, or infinity."""
    known = values[values.isfinite()]
    near = float(known.max()) if len(known) else math.nan
    if bool((values == torch.inf).any()) or bool(values.isnan().any()):
        return math.inf
    limits = [_limit(tail) for tail in tails]
    if math.inf in limits and bool(
        max(tail[-1].nan_to_num(math.inf) for tail in tails) > 1.5 * abs(near)
    ):
        return math.inf  # and no accident of an oscillation
    return max(
        near,
        *(float(tail.max()) for tail in tails),
        *(limit for limit in limits if math.isfinite(limit)),
    )


def _limit(tail: Tensor) -> float:
    """Return the limit of values at 10⁴, 10⁶, 10⁸, extrapolated.

    It is infinite where they grow, and nan where there is none.
    """
    a, b, c = tail.tolist()
    if not math.isfinite(c):
        return c if math.isinf(c) else math.nan
    if abs(c) < 1e-7:
        return 0.0
    if abs(c - b) <= 1e-9 * abs(c):
        return float(c)
    if a == b or abs(c - b) >= 0.5 * abs(b - a):
        growing = abs(c) > abs(b) > abs(a) and c * b > 0
        return math.copysign(math.inf, c) if growing else math.nan
    limit = c + (c - b) ** 2 / ((b - a) - (c - b))
    return 0.0 if abs(limit) < 1e-7 else limit


def _strict(x: Tensor, slope: Tensor, breaks: list[Break]) -> bool:
    """Whether the slope vanishes over no interval.

    Far out, where it underflows smoothly, it may seem to.
    """
    flat = (slope[:-1] == 0) & (slope[1:] == 0)
    if bool(flat[(x[1:].abs() < 6)].any()):
        return False
    starts = torch.tensor([found.above for found in breaks], dtype=torch.float64)
    cells = torch.searchsorted(x, starts).clamp(1, len(x) - 2)
    return not bool((flat[cells] | flat[cells - 2]).any())


def _pieces(x: Tensor, y: Tensor, slope: Tensor, breaks: list[Break]) -> int | None:
    """Return the number of linear pieces, where the slope is constant between breaks."""
    ends = torch.tensor(
        sorted({found.above for found in breaks if found.order <= 1}), dtype=torch.float64
    )
    piece = torch.bucketize(x, ends)
    same = piece[1:] == piece[:-1]
    constant = slope.diff().abs() <= 1e-9 * (1 + slope[1:].abs())
    linear = (y.diff() - slope[1:] * x.diff()).abs() <= 1e-7 * (1 + y[1:].abs())
    return len(ends) + 1 if bool((~same | (constant & linear)).all()) else None
