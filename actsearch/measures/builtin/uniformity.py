"""Uniformity of the embeddings on the unit sphere."""

from __future__ import annotations

from typing_extensions import override

from actsearch.measures.fitted import ROWS, Fitted
from actsearch.measures.functional.uniformity import uniformity
from actsearch.measures.measure import Measure


class Uniformity(Measure):
    """How evenly the embeddings cover the unit sphere: lower is more even, 0 is collapse.

    References:
        Understanding Contrastive Representation Learning through Alignment and Uniformity on the
        Hypersphere, T. Wang and P. Isola, 2020, https://arxiv.org/abs/2005.10242
    """

    name = "uniformity"
    direction = "min"
    needs = frozenset({"embeddings"})

    @override
    def __call__(self, fitted: Fitted) -> float:
        (embeddings,) = fitted.gather("embeddings", most=ROWS)
        return uniformity(embeddings)
