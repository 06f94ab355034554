"""Variance of the gradient from batch to batch."""

from __future__ import annotations

from itertools import islice

from typing_extensions import override

from actsearch.errors import InvalidValueError, MeasureError
from actsearch.measures.fitted import Fitted
from actsearch.measures.functional.gradient_variance import gradient_variance
from actsearch.measures.measure import Measure


class GradientVariance(Measure):
    """Total variance of the training loss's gradient over training batches.

    Args:
        draws: number of batches, at least 2; fewer where the training data have no more.

    Raises:
        InvalidValueError: fewer than 2 draws.
    """

    name = "gradient_variance"
    direction = "min"
    needs = frozenset({"loss"})

    def __init__(self, draws: int = 16) -> None:
        if draws < 2:
            raise InvalidValueError(f"draws must be at least 2, but got {draws!r}.")
        self.draws = draws

    @override
    def __call__(self, fitted: Fitted) -> float:
        batches = list(islice(fitted.batches("train"), self.draws))
        if len(batches) < 2:
            raise MeasureError(
                f"{self.name} must have at least 2 training batches, but got {len(batches)}. Make"
                " batches smaller."
            )
        learned = [p for p in fitted.module.parameters() if p.requires_grad]
        return gradient_variance(lambda k: fitted.loss(batches[k]), learned, len(batches))
