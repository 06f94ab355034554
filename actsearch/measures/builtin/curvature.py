"""How sharply the activations of a network bend."""

from __future__ import annotations

import math

from typing_extensions import override

from actsearch.errors import MeasureError
from actsearch.measures.fitted import Fitted
from actsearch.measures.functional.by_channel import by_channel
from actsearch.measures.functional.curvature import curvature
from actsearch.measures.measure import Measure


class Curvature(Measure):
    r"""Largest second derivative of any activation, as trained.

    .. math:: \max_k \sup_x |\varphi_k''(x)|

    Sigmoid has 0.0962, softplus 0.25, SiLU 0.5, tanh 0.770, GELU 0.798, and the sine 1. At a kink
    it is infinite, which is told with the site instead.

    Raises:
        MeasureError: an activation whose second derivative is not bounded, with its site.
    """

    name = "curvature"
    direction = "min"
    needs = frozenset({"sites"})

    @override
    def __call__(self, fitted: Fitted) -> float:
        largest = 0.0
        for site in fitted.sites:
            found = max(map(curvature, by_channel(site.function)))
            if not math.isfinite(found):
                raise MeasureError(
                    f"{self.name} must have activations of bounded second derivative, but got"
                    f" {site.activation} at {site.name}. Place elu, tanh, silu or their like there,"
                    " or measure smoothness."
                )
            largest = max(largest, found)
        return largest

    @override
    def check(self, fitted: Fitted) -> None:
        self(fitted)
