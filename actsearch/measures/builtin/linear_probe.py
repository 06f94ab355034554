"""Linear probe of the embeddings."""

from __future__ import annotations

from typing_extensions import override

from actsearch.errors import InvalidValueError
from actsearch.measures.fitted import ROWS, Fitted
from actsearch.measures.functional.linear_probe import linear_probe
from actsearch.measures.measure import Measure


class LinearProbe(Measure):
    r"""Accuracy of a ridge regression onto the classes, fitted on embeddings of training rows.

    Args:
        penalty: :math:`\lambda` of the ridge, above 0.

    Raises:
        InvalidValueError: the penalty is out of its range.
    """

    name = "linear_probe"
    direction = "max"
    needs = frozenset({"embeddings", "labels", "labelled_training"})

    def __init__(self, penalty: float = 1.0) -> None:
        if penalty <= 0:
            raise InvalidValueError(f"penalty must be above 0, but got {penalty!r}.")
        self.penalty = penalty

    @override
    def __call__(self, fitted: Fitted) -> float:
        asked, labels = fitted.gather("embeddings", "labels")
        reference, known = fitted.gather("embeddings", "labels", part="labelled", most=ROWS)
        return linear_probe(asked, labels, reference, known, self.penalty)
