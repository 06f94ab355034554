"""Where a function or one of its derivatives jumps, to the last digits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Function = Callable[[Tensor], Tensor]
HIGHEST_ORDER = 3
CANDIDATES = 16
"""Cells looked at for every derivative and both criteria."""

PARTS = 32
"""Parts that a cell is divided into in every round."""

ZOOM_ROUNDS = 9
PERSISTENT = 1e-5
"""A jump that stays this large, relative to the derivative, in a cell of 1e-13 is one."""


@dataclass(frozen=True)
class Break:
    """A jump of the derivative of a given order between two neighbouring numbers."""

    order: int
    below: float
    above: float


def derivatives(function: Function, x: Tensor, order: int) -> list[Tensor]:
    """Return φ, φ', … up to an order, by automatic differentiation, each with the shape of x."""
    x = x.detach().requires_grad_()
    found: list[Tensor] = []
    with torch.enable_grad():
        current = function(x)
        for k in range(order + 1):
            found.append(current)
            if k == order:
                break
            slope = None
            if current.requires_grad:
                (slope,) = torch.autograd.grad(
                    current.sum(), x, create_graph=k + 1 < order, allow_unused=True
                )
            current = torch.zeros_like(x) if slope is None else slope
    return [values.detach() for values in found]


def grid() -> Tensor:
    """Return the points of the search: dense on ±12, where N(0, 1) is, then sparse to ±10⁴.

    0 and 1 are none of them.
    """
    dense = torch.linspace(-12.0123, 12.0171, 4002, dtype=torch.float64)
    outer = torch.logspace(1.0807, 4, 120, dtype=torch.float64)
    return torch.cat([-outer.flip(0), dense, outer])


def find_breaks(function: Function, x: Tensor, values: list[Tensor]) -> list[Break]:
    """Return every jump found of derivatives given on a grid, in order of the derivative.

    Args:
        function: φ.
        x: grid points, rising.
        values: φ, φ', … at the grid points.
    """
    found: list[Break] = []
    for order, value in enumerate(values):
        found += _breaks_of_order(function, order, x, value)
    return found


def _breaks_of_order(function: Function, order: int, x: Tensor, value: Tensor) -> list[Break]:
    jump = value.diff().abs()
    if jump.numel() == 0 or bool((jump == 0).all()):
        return []
    jump = torch.where(jump.isfinite(), jump, torch.inf)
    neighbours = (
        torch.nn.functional.avg_pool1d(
            torch.nn.functional.pad(jump.clamp_max(1e300)[None], (2, 2)), 5, 1
        )[0]
        * 5
    )
    isolated = jump / (neighbours - jump.clamp_max(1e300)).clamp_min(1e-300)
    count = min(CANDIDATES, jump.numel())
    cells = torch.cat([jump.topk(count).indices, isolated.topk(count).indices]).unique()
    cells = cells[jump[cells] > 0]
    below, above = x[cells], x[cells + 1]
    fraction = torch.linspace(0, 1, PARTS + 1, dtype=torch.float64)
    for _ in range(ZOOM_ROUNDS):
        points = below[:, None] + (above - below)[:, None] * fraction
        level = derivatives(function, points.flatten(), order)[order].view_as(points)
        steps = level.diff().abs()
        steps = torch.where(steps.isfinite(), steps, torch.inf)
        last, where = steps.max(dim=1)
        row = torch.arange(len(where))
        below, above = points[row, where], points[row, where + 1]
        size = torch.minimum(level[row, where].abs(), level[row, where + 1].abs()).nan_to_num(
            0.0, 0.0, 0.0
        )
        # A smooth cell loses a factor near PARTS a round; it leaves when its jump is below what
        # would count in the end.
        keep = last > PERSISTENT * (size + 1e-2)
        below, above = below[keep], above[keep]
        if not len(below):
            return []
    pairs = sorted(set(zip(below.tolist(), above.tolist(), strict=True)))
    return [Break(order, low, high) for low, high in pairs]


def smoothness(breaks: list[Break]) -> float:
    """Return the largest k with φ in C^k that the breaks allow; ``inf`` where none was found."""
    return min((found.order for found in breaks), default=torch.inf) - 1
