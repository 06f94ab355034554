"""Effective rank: how many dimensions a set of embeddings spreads over."""

from __future__ import annotations

import torch
from torch import Tensor

from .spectrum import entropy_rank


def effective_rank(embeddings: Tensor) -> float:
    r"""Return the exponential of the entropy of the normalised singular values (RankMe).

    .. math:: \exp\Big(-\sum_k p_k \log p_k\Big), \quad p_k = \frac{\sigma_k}{\sum_j \sigma_j}

    Embeddings are not centred: where all collapse to one vector, it is 1. It is at most min(N, D),
    and 0 for all zeros.

    Shapes:
        ``(N, D)``.

    Args:
        embeddings: one row a sample.

    References:
        RankMe: Assessing the downstream performance of pretrained self-supervised representations
        by their rank, Q. Garrido, R. Balestriero, L. Najman and Y. LeCun, 2022,
        https://arxiv.org/abs/2210.02885

    >>> round(effective_rank(torch.eye(4)), 6)
    4.0
    """
    return entropy_rank(torch.linalg.svdvals(embeddings.detach().double()))
