"""Cells of a plane on which a network is affine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from typing_extensions import override

from actsearch.errors import InvalidValueError, MeasureError
from actsearch.figure import DPI, new_figure
from actsearch.measures.fitted import Fitted
from actsearch.measures.functional.pieces import Array
from actsearch.measures.functional.regions import plane_cells
from actsearch.measures.measure import Measure
from actsearch.measures.piecewise_linear import PiecewiseLinearNetwork, first_rows

STEPS = 400
"""Points of the grid along each axis, by which boundaries of classes are drawn."""


class LinearRegions(Measure):
    r"""Number of cells into which the network cuts the triangle between three samples.

    On each it is affine. It is exact, through all sites; between them layers must be affine
    (dense, convolution, average pooling, batch normalisation, residual sums), and activations
    continuous and piecewise linear: GELU and SiLU have no regions. Cells are counted, not patterns
    of active units, of which several cells may have the same. Of m lines in general position
    there are :math:`1 + m + \binom m2`.

    Args:
        plane: numbers of three rows of the measured split, the corners of the triangle.
        extent: factor by which the triangle is blown up about its middle, above 0.
        layers: sites that count, from the input on; all where not given.
        limit: cells after which counting ends; a value of ``limit`` says that there are as many or
            more.

    Raises:
        InvalidValueError: an option out of its range; a layer between the sites that is not affine.
        MeasureError: an activation that is not piecewise linear, with its site; three rows that are
            on one line.

    References:
        On the Number of Linear Regions of Deep Neural Networks, G. Montúfar, R. Pascanu, K. Cho and
        Y. Bengio, 2014, https://arxiv.org/abs/1402.1869
        Complexity of Linear Regions in Deep Networks, B. Hanin and D. Rolnick, 2019,
        https://arxiv.org/abs/1901.09021
    """

    name = "linear_regions"
    direction = None
    needs = frozenset({"example", "sites"})

    def __init__(
        self,
        plane: tuple[int, int, int] = (0, 1, 2),
        extent: float = 1.0,
        layers: int | None = None,
        limit: int = 100_000,
    ) -> None:
        if min(plane) < 0 or not extent > 0 or limit < 1 or (layers is not None and layers < 1):
            raise InvalidValueError(
                "rows must be at least 0, extent above 0, layers and limit at least 1, but got"
                f" {plane=}, {extent=}, {layers=}, {limit=}."
            )
        self.plane = plane
        self.extent = extent
        self.layers = layers
        self.limit = limit

    @override
    def __call__(self, fitted: Fitted) -> float:
        return min(len(self.cells(fitted)), self.limit)

    @override
    def check(self, fitted: Fitted) -> None:
        PiecewiseLinearNetwork(fitted, self.name)

    def cells(self, fitted: Fitted) -> Array:
        """Return the corners of each cell, in the plane's own coordinates."""
        network = PiecewiseLinearNetwork(fitted, self.name)
        middle, axes, corners = self._triangle(fitted)
        return plane_cells(
            lambda points: network.site_inputs(middle + points @ axes),
            [site.units for site in network.sites[: self.layers]],
            self.extent * corners,
            self.limit,
        )

    @override
    def pictures(self, fitted: Fitted, folder: Path) -> None:
        """Draw the cells, each in a colour, with the samples and the boundaries of classes."""
        from matplotlib.collections import PolyCollection
        from matplotlib.patches import Polygon

        cells = self.cells(fitted)
        middle, spanning, corners = self._triangle(fitted)
        figure, axes = new_figure(size=5.0)
        ax = axes[0, 0]
        colours = np.random.default_rng(0).uniform(0.6, 1.0, (len(cells), 3))
        ax.add_collection(PolyCollection(list(cells), facecolors=colours, edgecolors="face"))
        window = Polygon(self.extent * corners, fill=False, edgecolor="grey")
        ax.add_patch(window)
        ax.autoscale_view()
        x, y = (np.linspace(low, high, STEPS) for low, high in (ax.get_xlim(), ax.get_ylim()))
        grid = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
        outputs = PiecewiseLinearNetwork(fitted, self.name).outputs(middle + grid @ spanning)
        for ahead in _margins(outputs.reshape(len(grid), -1)):
            lines = ax.contour(x, y, ahead.reshape(STEPS, STEPS), [0.0], colors="black")
            lines.set_clip_path(window)
        ax.plot(*corners.T, "o", color="black", markersize=5)
        ax.set(xticks=[], yticks=[], aspect="equal")
        ax.set_title(f"{len(cells)} linear regions between three samples")
        figure.savefig(folder / "linear_regions.png", dpi=DPI)

    def _triangle(self, fitted: Fitted) -> tuple[Array, Array, Array]:
        """Return the middle ``(D)``, two orthonormal axes ``(2, D)``, the corners ``(3, 2)``."""
        found = first_rows(fitted, max(self.plane) + 1)
        if len(found) <= max(self.plane):
            raise MeasureError(
                f"{self.name} must have rows {self.plane}, but there are {len(found)}. Choose"
                " others with plane."
            )
        rows = found[list(self.plane)]
        middle = rows.mean(0)
        _, lengths, directions = np.linalg.svd(rows - middle, full_matrices=False)
        if not lengths[1] > 1e-9 * lengths[0]:
            raise MeasureError(
                f"{self.name} must have three rows that are not on one line, but got rows"
                f" {self.plane}. Choose others with plane."
            )
        return middle, directions[:2], (rows - middle) @ directions[:2].T


def _margins(outputs: Array) -> Iterator[Array]:
    """Yield by how much each class is ahead, where some are and some are not; ``(N, C)``."""
    for column in range(outputs.shape[1] if outputs.shape[1] > 1 else 0):
        ahead = outputs[:, column] - np.delete(outputs, column, 1).max(1)
        if ahead.min() < 0 < ahead.max():
            yield ahead
