"""Whether a curve or one of its derivatives jumps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from actsearch.activations.properties.breaks import Function, derivatives
from actsearch.errors import InvalidValueError

_FINER = 10
"""Parts that a cell is divided into in every round."""

_ROUNDS = 4
_LARGEST = 8
"""Cells of a curve that are divided."""

_ROUNDING = 1e-12
"""A jump is none that is smaller than this share of the largest value or derivative."""


def jump_ratio(curves: Sequence[Function], order: int = 1, cells: int = 300) -> float:
    r"""Return how much of the largest jump is left at a tenth of the step.

    .. math:: \max_{k \le n} \frac{J_k(h / 10)}{J_k(h)}, \quad
              J_k(h) = \max_t |f^{(k)}(t + h) - f^{(k)}(t)|

    Of n times continuously differentiable curves it is 0.1; with a kink or a jump it is 1, and
    1 also where it is the n-th derivative alone that jumps. The cells whose jumps stand out are
    divided by 10 in four rounds, and the last two compared, so that many kinks in one cell, and one
    in a steep curve, are found. It is 0 where nothing changes at all.

    Args:
        curves: functions of t from 0 to 1, elementwise, of float64.
        order: n, at least 0.
        cells: steps over a curve at first, at least 1.

    Raises:
        InvalidValueError: a value or a derivative that is not finite.

    >>> curve = lambda t: (t - 0.4).relu() ** 2
    >>> round(jump_ratio([curve], order=1), 3), round(jump_ratio([curve], order=2), 3)
    (0.1, 1.0)
    """
    ratios = [0.0]
    for k in range(order + 1):
        coarse, fine = map(max, zip(*(_largest_jumps(f, k, cells) for f in curves), strict=True))
        ratios.append(fine / coarse if coarse else 0.0)
    return max(ratios)


def _largest_jumps(curve: Function, order: int, cells: int) -> tuple[float, float]:
    """Return the largest jump of a derivative at the step before the last, and at the last."""
    t = torch.linspace(0, 1, cells + 1, dtype=torch.float64)
    values = torch.stack(derivatives(curve, t, order))
    if not bool(values.isfinite().all()):
        raise InvalidValueError(
            f"a curve must have finite values and derivatives, but got"
            f" {values[~values.isfinite()][0].item()} at order {order}. Choose other segments."
        )
    scale, step = float(values.abs().max()), 1 / cells
    left, jump = t[None, :-1], values[order].diff()[None]
    coarse = 0.0
    for _ in range(_ROUNDS):
        kept = _standing_out(jump).flatten().topk(min(_LARGEST, jump.numel())).indices
        coarse = float(jump.flatten()[kept].abs().max())
        step /= _FINER
        points = left.flatten()[kept, None] + step * torch.arange(_FINER + 1, dtype=t.dtype)
        value = derivatives(curve, points.flatten(), order)[order].view_as(points)
        left, jump = points[:, :-1], value.diff(dim=1)
    if coarse <= _ROUNDING * scale:
        return 0.0, 0.0
    return coarse, float(jump.abs().max())


def _standing_out(jump: Tensor) -> Tensor:
    """Return by how much each jump of a row differs from those beside it, at most its own size.

    So a kink is seen where the curve bends smoothly by more.
    """
    beside = torch.nn.functional.pad(jump[None], (1, 1), mode="replicate")[0]
    return (jump - (beside[:, :-2] + beside[:, 2:]) / 2).abs().minimum(jump.abs())
