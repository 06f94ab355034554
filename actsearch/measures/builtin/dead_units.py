"""Units that no gradient reaches."""

from __future__ import annotations

from statistics import fmean

from typing_extensions import override

from actsearch.measures.fitted import Fitted
from actsearch.measures.functional.gradient_flow import dead_units
from actsearch.measures.measure import Measure


class DeadUnits(Measure):
    """Share of units whose derivative is 0 on a whole batch, averaged over the sites.

    In a recurrent network, at every step.
    """

    name = "dead_units"
    direction = "min"
    needs = frozenset({"sites"})

    @override
    def __call__(self, fitted: Fitted) -> float:
        return fmean(dead_units(*site.derivatives()) for site in fitted.sites)
