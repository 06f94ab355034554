"""Effective rank of the embeddings."""

from __future__ import annotations

from typing_extensions import override

from actsearch.measures.fitted import ROWS, Fitted
from actsearch.measures.functional.effective_rank import effective_rank
from actsearch.measures.measure import Measure


class EffectiveRank(Measure):
    """How many dimensions the embeddings spread over (RankMe); 1 after collapse.

    References:
        RankMe: Assessing the downstream performance of pretrained self-supervised representations
        by their rank, Q. Garrido, R. Balestriero, L. Najman and Y. LeCun, 2022,
        https://arxiv.org/abs/2210.02885
    """

    name = "effective_rank"
    direction = "max"
    needs = frozenset({"embeddings"})

    @override
    def __call__(self, fitted: Fitted) -> float:
        (embeddings,) = fitted.gather("embeddings", most=ROWS)
        return effective_rank(embeddings)
