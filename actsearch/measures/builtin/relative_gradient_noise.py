"""Relative gradient noise of the sites on what they see."""

from __future__ import annotations

from statistics import fmean

from typing_extensions import override

from actsearch.measures.fitted import Fitted
from actsearch.measures.functional.gradient_flow import relative_gradient_noise
from actsearch.measures.measure import Measure


class RelativeGradientNoise(Measure):
    r"""κ on what the sites see of a batch, averaged over them; 1 where nothing is lost.

    .. math:: \kappa = E[\varphi'(z)^2] / E[\varphi'(z)]^2

    It is ``inf`` where the mean derivative at a site is 0.
    """

    name = "relative_gradient_noise"
    direction = "min"
    needs = frozenset({"sites"})

    @override
    def __call__(self, fitted: Fitted) -> float:
        return fmean(relative_gradient_noise(*site.derivatives()) for site in fitted.sites)
