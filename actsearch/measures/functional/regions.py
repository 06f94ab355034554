"""The cells of a plane or a segment on which a piecewise linear network is affine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from actsearch.measures.functional.pieces import Array, Pieces

SiteInputs = Callable[[Array], Sequence[Array]]
"""From points ``(N, d)`` to what enters each site there, ``(N, units)``."""

THINNEST = 1e-9
"""A cell is none that is thinner than this share of what is cut."""

ROUNDING = 1e-12
"""Error of what enters a unit, relative to the largest of its site."""

CORNERS = 4096
"""Corners of cells that are evaluated at once."""


def plane_cells(
    site_inputs: SiteInputs, sites: Sequence[Sequence[Pieces]], window: Array, limit: int
) -> Array:
    r"""Return the cells of a convex window of a plane on which a network is affine.

    Where all earlier sites are affine, so is what enters the next one, and each knot of each of its
    units is a line there: site by site, every cell is cut by those that cross it. It is exact up to
    rounding. The lines of a unit count whether or not what follows uses it; cells are counted, not
    activation patterns, of which several cells of a deep network may have the same.

    Args:
        site_inputs: of points of the plane, ``(N, 2)``.
        sites: the pieces of each site's units, in the order of the forward pass.
        window: the corners of a convex polygon in their order, ``(K, 2)``.
        limit: cells at which it ends, with as many or more.

    Returns:
        The corners of each cell in their order, ``(cells, K, 2)``, filled up with its first.

    References:
        SplineCam: Exact Visualization and Characterization of Deep Network Geometry and Decision
        Boundaries, A. Humayun, R. Balestriero, G. Balakrishnan and R. Baraniuk, 2023,
        https://arxiv.org/abs/2302.12828
    """
    cells = window[None]
    for number, units in enumerate(sites):
        if len(cells) >= limit:
            break
        unit, knot = lines(units)
        found: list[Array] = []
        allowed = limit - len(cells)  # cells more than there are
        for part in np.array_split(cells, -(-cells.size // (2 * CORNERS))):
            own = _own(part)
            entering = site_inputs(part[own])[number]
            row = np.cumsum(own).reshape(own.shape) - 1
            row = np.where(own, row, row[:, :1])  # what fills up is the first corner
            levels = entering[:, unit][row] - knot
            rounding = ROUNDING * np.abs(entering).max()
            found.append(cut(part, levels, rounding, allowed + len(part)))
            allowed -= len(found[-1]) - len(part)
        cells = _joined(found)
    return cells


def segment_cells(site_inputs: SiteInputs, sites: Sequence[Sequence[Pieces]], limit: int) -> Array:
    """Return the ends of the intervals of a segment on which a network is affine.

    As :func:`plane_cells`, in one dimension.

    Args:
        site_inputs: of points of the segment, ``(N, 1)``, from 0 to 1.
        sites: the pieces of each site's units, in the order of the forward pass.
        limit: intervals after which it ends.

    Returns:
        Numbers from 0 to 1, rising, one more than there are intervals.
    """
    ends: Array = np.array([0.0, 1.0])
    for number, units in enumerate(sites):
        unit, knot = lines(units)
        entering = site_inputs(ends[:, None])[number]
        levels = entering[:, unit] - knot
        left, right = levels[:-1], levels[1:]
        least = _least(np.stack([left, right]), 0, ROUNDING * np.abs(entering).max())
        crossing = (np.minimum(left, right) < -least) & (np.maximum(left, right) > least)
        row, column = np.nonzero(crossing)
        left, right = left[row, column], right[row, column]
        between = ends[row] + left / (left - right) * np.diff(ends)[row]
        ends = np.sort(np.concatenate([ends, between]))
        ends = ends[np.append(True, np.diff(ends) > THINNEST)]  # units that bend at one point
        if len(ends) > limit:
            return ends[: limit + 1]
    return ends


def lines(units: Sequence[Pieces]) -> tuple[NDArray[np.intp], Array]:
    """Return the unit and the position of every knot of a site."""
    unit = np.repeat(np.arange(len(units)), [len(each.knots) for each in units])
    return unit, np.concatenate([each.knots for each in units]) if len(unit) else np.zeros(0)


def cut(cells: Array, levels: Array, rounding: float, limit: int) -> Array:
    """Return the cells into which lines cut convex polygons; none is cut from ``limit`` cells on.

    Args:
        cells: as :func:`plane_cells` returns them.
        levels: of each line at each corner, ``(cells, K, lines)``: affine on a cell, 0 on the line.
        rounding: error of the levels.
        limit: of cells.

    >>> square = np.array([[[-1.0, -1], [1, -1], [1, 1], [-1, 1]]])
    >>> len(cut(square, square @ np.array([[1.0, 0, 1], [0, 1, 1]]), 1e-12, 20))  # three lines
    6
    """
    least = _least(levels, 1, rounding)
    crossing = (levels.min(1) < -least) & (levels.max(1) > least)
    # Of each cell the lines that cross it, as affine functions about its middle.
    chosen = np.argsort(~crossing, 1, kind="stable")[:, : crossing.sum(1).max()]
    least = np.take_along_axis(np.where(crossing, least, np.inf), chosen, 1)
    levels = np.take_along_axis(levels, chosen[:, None], 2)
    middle, height = cells.mean(1, keepdims=True), levels.mean(1, keepdims=True)
    slope = np.linalg.pinv(cells - middle) @ (levels - height)
    home = np.arange(len(cells))  # the polygon that a cell was cut from
    for line in range(chosen.shape[1]):
        if len(cells) >= limit:
            break
        side = ((cells - middle[home]) @ slope[home, :, line, None])[..., 0] + height[home, :, line]
        enough = least[home, line]
        both = (side.min(1) < -enough) & (side.max(1) > enough)
        if not both.any():
            continue
        halves = [_half(cells[both], sign * side[both]) for sign in (1, -1)]
        cells = _joined([cells[~both], *halves])
        home = np.concatenate([home[~both], home[both], home[both]])
    return cells


def _least(levels: Array, axis: int, rounding: float) -> Array:
    """Return how far beyond a line something must reach to count as cut by it."""
    least: Array = np.maximum(THINNEST * np.abs(levels).max(axis), rounding)
    return least


def _half(cells: Array, side: Array) -> Array:
    """Return the part of each polygon where ``side``, given at its corners, is not negative."""
    following, beyond = np.roll(cells, -1, 1), np.roll(side, -1, 1)
    crosses = side * beyond < 0
    share = np.where(crosses, side, 0.0) / np.where(crosses, side - beyond, 1.0)
    between = cells + share[..., None] * (following - cells)
    kept = np.stack([_own(cells) & (side >= 0), crosses], 2).reshape(len(cells), -1)
    corners = np.stack([cells, between], 2).reshape(len(cells), -1, 2)
    count = kept.sum(1)
    order = np.argsort(~kept, 1, kind="stable")[:, : count.max(initial=1)]
    corners = np.take_along_axis(corners, order[..., None], 1)
    filling = np.arange(corners.shape[1]) >= count[:, None]
    return np.where(filling[..., None], corners[:, :1], corners)


def _own(cells: Array) -> NDArray[np.bool_]:
    """Return which corners are not what fills up, ``(cells, K)``."""
    own: NDArray[np.bool_] = (cells != cells[:, :1]).any(2)
    own[:, 0] = True
    return own


def _joined(cells: Sequence[Array]) -> Array:
    """Return cells of different numbers of corners as one array."""
    most = np.arange(max(part.shape[1] for part in cells))
    filled = [part[:, np.where(most < part.shape[1], most, 0)] for part in cells]
    return np.concatenate(filled)
