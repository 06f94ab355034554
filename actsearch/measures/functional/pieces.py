"""The linear pieces of an elementwise function."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actsearch.activations.properties.breaks import grid

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Pieces:
    r"""A continuous piecewise linear φ: :math:`s_j x + o_j` from knot j - 1 to knot j.

    Args:
        knots: where it bends, rising.
        slopes: :math:`s`, one more than knots.
        offsets: :math:`o`, one more than knots.
    """

    knots: Array
    slopes: Array
    offsets: Array

    def __call__(self, x: Any) -> Array:
        """Return φ(x)."""
        piece = np.searchsorted(self.knots, x)
        return np.asarray(self.slopes[piece] * x + self.offsets[piece])

    def inside(self, low: float, high: float) -> Array:
        """Return the knots strictly between two numbers."""
        return self.knots[(self.knots > low) & (self.knots < high)]


def pieces(function: Callable[[Tensor], Tensor], shape: tuple[int, ...] = ()) -> list[Pieces]:
    """Return the linear pieces of each channel of an elementwise function.

    They are runs of points of a grid on one line, and a knot is where two lines meet, exact up to
    rounding. Knots must be 0.02 apart up to 12, farther beyond.

    Args:
        function: φ, of float64.
        shape: that of a sample it is evaluated on: 1, but for the dimension of its channels.

    Returns:
        One for each channel, one where there are none; none at all where φ is not continuous and
        piecewise linear.

    >>> [found] = pieces(torch.nn.functional.hardtanh)
    >>> found.knots, found.slopes, float(found(3.0))
    (array([-1.,  1.]), array([0., 1., 0.]), 1.0)
    >>> pieces(torch.tanh)
    []
    """
    x = grid()
    spread = (-1, *[1] * len(shape))

    def values(points: Tensor) -> Array:  # (points, channels)
        with torch.no_grad():
            y = function(points.view(spread).expand(-1, *shape))
        return y.reshape(len(points), math.prod(shape)).numpy()

    found = []
    for channel, y in enumerate(values(x).T):
        lines = _lines(x.numpy(), y)
        if lines is None:
            return []
        met = values(torch.from_numpy(lines.knots))[:, channel]
        if not np.allclose(met, lines(lines.knots), rtol=1e-9, atol=1e-9):
            return []
        found.append(lines)
    return found


def _lines(x: Array, y: Array) -> Pieces | None:
    """Return the lines that values at rising points lie on, if each goes through three of them."""
    if not np.isfinite(y).all():
        return None
    secant = np.diff(y) / np.diff(x)
    other = ~np.isclose(secant[1:], secant[:-1], rtol=1e-9, atol=1e-9)
    ends = np.array([0, *np.flatnonzero(other) + 1, len(x) - 1])
    straight = np.diff(ends) > 1  # runs of equal secants; a knot has a secant of its own
    if not (straight[0] and straight[-1] and (straight[1:] | straight[:-1]).all()):
        return None
    low, high = ends[:-1][straight], ends[1:][straight]
    slopes = (y[high] - y[low]) / (x[high] - x[low])
    near = np.clip(np.abs(x).argmin(), low, high)  # where an offset has the least rounding
    offsets = y[near] - slopes * x[near]
    with np.errstate(divide="ignore", invalid="ignore"):
        knots = -np.diff(offsets) / np.diff(slopes)
    meet = (knots >= x[high[:-1]]) & (knots <= x[low[1:]])  # not so where φ jumps
    return Pieces(knots, slopes, offsets) if meet.all() else None
