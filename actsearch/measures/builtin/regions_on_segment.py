"""Intervals of a segment on which a network is affine."""

from __future__ import annotations

from typing_extensions import override

from actsearch.errors import InvalidValueError, MeasureError
from actsearch.measures.fitted import Fitted
from actsearch.measures.functional.regions import segment_cells
from actsearch.measures.measure import Measure
from actsearch.measures.piecewise_linear import PiecewiseLinearNetwork, first_rows


class RegionsOnSegment(Measure):
    """Number of intervals into which the network cuts the segment between two samples.

    As ``linear_regions``, in one dimension: cheap at any width.

    Args:
        segment: numbers of two rows of the measured split, which it joins.
        layers: sites that count, from the input on; all where not given.
        limit: intervals after which counting ends; a value of ``limit`` says that there are as many
            or more.

    Raises:
        InvalidValueError: an option out of its range; a layer between the sites that is not affine.
        MeasureError: an activation that is not piecewise linear, with its site; no such rows.

    References:
        Complexity of Linear Regions in Deep Networks, B. Hanin and D. Rolnick, 2019,
        https://arxiv.org/abs/1901.09021
    """

    name = "regions_on_segment"
    direction = None
    needs = frozenset({"example", "sites"})

    def __init__(
        self, segment: tuple[int, int] = (0, 1), layers: int | None = None, limit: int = 1_000_000
    ) -> None:
        if min(segment) < 0 or limit < 1 or (layers is not None and layers < 1):
            raise InvalidValueError(
                "rows must be at least 0, layers and limit at least 1, but got"
                f" {segment=}, {layers=}, {limit=}."
            )
        self.segment = segment
        self.layers = layers
        self.limit = limit

    @override
    def __call__(self, fitted: Fitted) -> float:
        network = PiecewiseLinearNetwork(fitted, self.name)
        rows = first_rows(fitted, max(self.segment) + 1)
        if len(rows) <= max(self.segment):
            raise MeasureError(
                f"{self.name} must have rows {self.segment}, but there are {len(rows)}. Choose"
                " others with segment."
            )
        start, end = rows[list(self.segment)]
        ends = segment_cells(
            lambda points: network.site_inputs(start + points * (end - start)),
            [site.units for site in network.sites[: self.layers]],
            self.limit,
        )
        return len(ends) - 1

    @override
    def check(self, fitted: Fitted) -> None:
        PiecewiseLinearNetwork(fitted, self.name)
