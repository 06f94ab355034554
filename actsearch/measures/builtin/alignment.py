"""Alignment of the embeddings of two views."""

from __future__ import annotations

import torch
from typing_extensions import override

from actsearch.measures.fitted import Fitted
from actsearch.measures.functional.alignment import alignment
from actsearch.measures.measure import Measure


class Alignment(Measure):
    """How near the embeddings of two views of one sample lie on the unit sphere: 0 is perfect.

    References:
        Understanding Contrastive Representation Learning through Alignment and Uniformity on the
        Hypersphere, T. Wang and P. Isola, 2020, https://arxiv.org/abs/2005.10242
    """

    name = "alignment"
    direction = "min"
    needs = frozenset({"embeddings", "views"})

    @override
    def __call__(self, fitted: Fitted) -> float:
        pairs = [
            [fitted.embeddings(view).cpu() for view in fitted.views(batch)]
            for batch in fitted.batches()
        ]
        first, second = (torch.cat(side) for side in zip(*pairs, strict=True))
        return alignment(first, second)
