"""Latency of a forward pass."""

from __future__ import annotations

from typing_extensions import override

from actsearch.measures.fitted import Fitted
from actsearch.measures.functional.latency import latency
from actsearch.measures.measure import Measure


class Latency(Measure):
    """Time of one forward pass on the example input, in milliseconds.

    The smallest of 30 rounds, which is the least disturbed by what else runs.
    """

    name = "latency"
    direction = "min"
    needs = frozenset({"example"})

    @override
    def __call__(self, fitted: Fitted) -> float:
        return latency(fitted.module, fitted.example)
