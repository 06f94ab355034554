"""Uniformity: how evenly embeddings cover the unit sphere."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from actsearch.errors import InvalidValueError


def uniformity(embeddings: Tensor) -> float:
    r"""Return the logarithm of the mean Gaussian potential between all pairs.

    Lower is more even, 0 is collapse.

    .. math:: \log \frac{2}{N(N-1)} \sum_{m<n} e^{-2 \lVert z_m - z_n \rVert^2}

    Shapes:
        ``(N, D)`` with N ≥ 2.

    Args:
        embeddings: one row a sample; put onto the unit sphere first.

    Raises:
        InvalidValueError: fewer than 2 samples.

    References:
        Understanding Contrastive Representation Learning through Alignment and Uniformity on the
        Hypersphere, T. Wang and P. Isola, 2020, https://arxiv.org/abs/2005.10242

    >>> round(uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])), 6)
    -8.0
    """
    if len(embeddings) < 2:
        raise InvalidValueError(
            f"embeddings must be at least 2 samples, but got {len(embeddings)}."
        )
    squared = torch.nn.functional.pdist(F.normalize(embeddings.detach().double(), dim=1)).square()
    return float(torch.logsumexp(-2 * squared, 0)) - math.log(len(squared))
