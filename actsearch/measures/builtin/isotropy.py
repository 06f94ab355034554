"""Isotropy of the embeddings."""

from __future__ import annotations

from typing_extensions import override

from actsearch.measures.fitted import ROWS, Fitted
from actsearch.measures.functional.isotropy import isotropy
from actsearch.measures.measure import Measure


class Isotropy(Measure):
    """How evenly the variance of the embeddings fills all directions (IsoScore), from 0 to 1.

    References:
        IsoScore: Measuring the Uniformity of Embedding Space Utilization, W. Rudman, N. Gillman, T.
        Rayne and C. Eickhoff, 2021, https://arxiv.org/abs/2108.07344
    """

    name = "isotropy"
    direction = "max"
    needs = frozenset({"embeddings"})

    @override
    def __call__(self, fitted: Fitted) -> float:
        (embeddings,) = fitted.gather("embeddings", most=ROWS)
        return isotropy(embeddings)
