"""A piecewise linear network around a point, as a mixed-integer linear programme."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from actsearch.measures.functional.pieces import Array, Pieces

_TOLERANCE = 1e-7
"""Of a linear programme's optimum, by which a bound is moved outward."""

_ROUNDING = 1e-9
"""By which bounds of interval arithmetic are moved outward."""


class Programme:
    r"""Inputs in a box, and the sites of a network one after another.

    A unit that takes in z in [l, u], with knots :math:`l < k_1 < \dots < k_m < u`, is written

    .. math::
        z = l + \sum_j \delta_j, \quad y = \varphi(l) + \sum_j s_j \delta_j, \quad
        0 \le \delta_j \le w_j

    with slopes :math:`s_j` and widths :math:`w_j` of its pieces, and one binary a knot that fills
    them in order: :math:`\delta_j \ge w_j b_j`, :math:`\delta_{j+1} \le w_{j+1} b_j`. A unit
    without a knot in its bounds has none. Without whole numbers it is the convex hull of each unit.

    Args:
        low: least inputs, ``(D,)``.
        high: largest inputs.

    Attributes:
        least: bounds of the inputs and of the outputs of all sites so far, one behind the other.
        largest: likewise.
        binaries: how many there are.

    References:
        Evaluating Robustness of Neural Networks with Mixed Integer Programming, V. Tjeng, K. Xiao
        and R. Tedrake, 2017, https://arxiv.org/abs/1711.07356
        Parallelizing the dual revised simplex method, Q. Huangfu and J. Hall, 2018,
        https://doi.org/10.1007/s12532-017-0130-5
    """

    def __init__(self, low: Array, high: Array) -> None:
        from scipy import sparse

        self.least, self.largest = low, high
        self.binaries, self._inputs = 0, len(low)
        self._low, self._high, self._whole = low, high, np.zeros(len(low))
        # Inputs and outputs are affine functions of the variables; rows hold for these.
        self._values, self._constant = sparse.csr_array(sparse.eye_array(len(low))), 0 * low
        self._rows: Any = sparse.csr_array((0, len(low)))
        self._row_low = self._row_high = np.zeros(0)

    def interval(self, matrix: Array, offset: Array) -> tuple[Array, Array]:
        """Return bounds of affine functions of inputs and outputs, by interval arithmetic.

        Args:
            matrix: one function a row.
            offset: of each.
        """
        middle, radius = (self.largest + self.least) / 2, (self.largest - self.least) / 2
        centre, reach = matrix @ middle + offset, np.abs(matrix) @ radius
        return centre - reach - _ROUNDING, centre + reach + _ROUNDING

    def lower_bound(self, row: Array, offset: float, seconds: float) -> float:
        """Return a lower bound of an affine function of inputs and outputs, by relaxation.

        Args:
            row: its coefficients.
            offset: its constant.
            seconds: after which it is minus infinity.
        """
        found = self._solve(row, None, seconds)
        optimal = found.status == 0
        return float(found.fun + self._at(row, offset)) - _TOLERANCE if optimal else -np.inf

    def minimise(
        self, row: Array, offset: float, seconds: float
    ) -> tuple[Array | None, float, float]:
        """Minimise an affine function of inputs and outputs.

        Args:
            row: its coefficients.
            offset: its constant.
            seconds: after which it ends.

        Returns:
            The inputs of the best that was found, or ``None``; the function there; a lower bound.
        """
        found = self._solve(row, self._whole, seconds)
        constant = self._at(row, offset)
        proved = -np.inf if found.mip_dual_bound is None else found.mip_dual_bound + constant
        if found.x is None:
            return None, np.inf, proved
        return found.x[: self._inputs], float(found.fun + constant), float(proved)

    def add(
        self, matrix: Array, offset: Array, low: Array, high: Array, units: Sequence[Pieces]
    ) -> None:
        """Add a site.

        Args:
            matrix: from inputs and outputs so far to what enters it, one unit a row.
            offset: of each unit.
            low: least values that enter it.
            high: largest values.
            units: the pieces of each unit.
        """
        from scipy import sparse

        points = [
            np.array([a, *unit.inside(a, b), b])
            for a, b, unit in zip(low, high, units, strict=True)
        ]
        values = [unit(at) for unit, at in zip(units, points, strict=True)]
        widths = np.concatenate([np.diff(at) for at in points])
        rises = np.concatenate([np.diff(y) for y in values])
        counts = np.array([len(at) - 1 for at in points])
        home = np.repeat(np.arange(len(units)), counts)  # the unit of each piece
        filled = np.flatnonzero(home[1:] == home[:-1])  # pieces that another one follows
        old, pieces, binaries = self._rows.shape[1], len(widths), len(filled)

        def entries(numbers: Any, rows: Any, columns: Any, height: int) -> Any:
            shape = (height, old + pieces + binaries)
            return sparse.csr_array((numbers, (rows, old + columns)), shape=shape)

        every, each = np.arange(pieces), np.arange(binaries)
        ones, binary = np.ones(binaries), pieces + each
        entering = entries(np.ones(pieces), home, every, len(units))
        slopes = np.divide(rises, widths, out=np.zeros(pieces), where=widths > 0)
        leaving = entries(slopes, home, every, len(units))
        opened = entries(ones, each, filled + 1, binaries)
        opened -= entries(widths[filled + 1], each, binary, binaries)
        closed = entries(widths[filled], each, binary, binaries)
        closed -= entries(ones, each, filled, binaries)
        for grown in (self._rows, self._values):
            grown.resize((grown.shape[0], old + pieces + binaries))
        defined = entering - sparse.csr_array(matrix) @ self._values
        at = matrix @ self._constant + offset - low
        nought = np.zeros(2 * binaries)
        self._rows = sparse.vstack([self._rows, defined, opened, closed], format="csr")
        self._row_low = np.concatenate([self._row_low, at, np.full(2 * binaries, -np.inf)])
        self._row_high = np.concatenate([self._row_high, at, nought])
        self._low = np.concatenate([self._low, np.zeros(pieces + binaries)])
        self._high = np.concatenate([self._high, widths, ones])
        self._whole = np.concatenate([self._whole, np.zeros(pieces), ones])
        self._values = sparse.vstack([self._values, leaving], format="csr")
        self._constant = np.concatenate([self._constant, [y[0] for y in values]])
        self.least = np.concatenate([self.least, [y.min() for y in values]])
        self.largest = np.concatenate([self.largest, [y.max() for y in values]])
        self.binaries += binaries

    def _at(self, row: Array, offset: float) -> float:
        return float(row @ self._constant) + offset

    def _solve(self, row: Array, whole: Array | None, seconds: float) -> Any:
        from scipy.optimize import Bounds, LinearConstraint, milp

        constraints = LinearConstraint(self._rows, self._row_low, self._row_high)
        return milp(
            row @ self._values,
            integrality=whole,
            bounds=Bounds(self._low, self._high),
            constraints=constraints if len(self._row_low) else None,
            options={"time_limit": min(max(seconds, 0.01), 1e7), "mip_rel_gap": 0.0},
        )
