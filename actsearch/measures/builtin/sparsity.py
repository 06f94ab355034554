"""Sparsity of what leaves the sites."""

from __future__ import annotations

from statistics import fmean

from typing_extensions import override

from actsearch.measures.fitted import Fitted
from actsearch.measures.functional.gradient_flow import sparsity
from actsearch.measures.measure import Measure


class Sparsity(Measure):
    """Share of outputs that are exactly 0, averaged over the sites."""

    name = "sparsity"
    direction = "max"
    needs = frozenset({"sites"})

    @override
    def __call__(self, fitted: Fitted) -> float:
        return fmean(sparsity(*site.outputs()) for site in fitted.sites)
