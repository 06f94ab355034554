"""Standard deviation of the normalised embeddings."""

from __future__ import annotations

from typing_extensions import override

from actsearch.measures.fitted import ROWS, Fitted
from actsearch.measures.functional.embedding_deviation import embedding_deviation
from actsearch.measures.measure import Measure


class EmbeddingDeviation(Measure):
    """Deviation of the embeddings on the unit sphere: 0 after collapse, 1/√D where even.

    References:
        Exploring Simple Siamese Representation Learning, X. Chen and K. He, 2020,
        https://arxiv.org/abs/2011.10566
    """

    name = "embedding_deviation"
    direction = "max"
    needs = frozenset({"embeddings"})

    @override
    def __call__(self, fitted: Fitted) -> float:
        (embeddings,) = fitted.gather("embeddings", most=ROWS)
        return embedding_deviation(embeddings)
