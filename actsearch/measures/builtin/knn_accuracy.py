"""k-nearest-neighbour accuracy of the embeddings."""

from __future__ import annotations

from typing_extensions import override

from actsearch.errors import InvalidValueError
from actsearch.measures.fitted import ROWS, Fitted
from actsearch.measures.functional.knn_accuracy import knn_accuracy
from actsearch.measures.measure import Measure


class KnnAccuracy(Measure):
    r"""Share of samples whose nearest training embeddings vote for the right class.

    Args:
        k: number of neighbours, at least 1; at most as many as there are training rows vote.
        temperature: :math:`\tau` of the votes' weights, above 0.

    Raises:
        InvalidValueError: an option out of its range.

    References:
        Unsupervised Feature Learning via Non-Parametric Instance-level Discrimination, Z. Wu, Y.
        Xiong, S. Yu and D. Lin, 2018, https://arxiv.org/abs/1805.01978
    """

    name = "knn_accuracy"
    direction = "max"
    needs = frozenset({"embeddings", "labels", "labelled_training"})

    def __init__(self, k: int = 10, temperature: float = 0.1) -> None:
        if k < 1 or temperature <= 0:
            raise InvalidValueError(
                f"k must be at least 1 and temperature above 0, but got {k=}, {temperature=}."
            )
        self.k = k
        self.temperature = temperature

    @override
    def __call__(self, fitted: Fitted) -> float:
        asked, labels = fitted.gather("embeddings", "labels")
        reference, known = fitted.gather("embeddings", "labels", part="labelled", most=ROWS)
        k = min(self.k, len(reference))
        return knn_accuracy(asked, labels, reference, known, k, self.temperature)
