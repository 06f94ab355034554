"""Isotropy: how evenly the variance of embeddings fills all directions."""

from __future__ import annotations

import torch
from torch import Tensor

from actsearch.errors import InvalidValueError


def isotropy(embeddings: Tensor) -> float:
    r"""Return IsoScore: 1 where every direction has the same variance, 0 where one has all of it.

    .. math:: \frac{P - 1}{D - 1}, \quad P = \frac{(\sum_k \lambda_k)^2}{\sum_k \lambda_k^2}

    with the eigenvalues λ of the covariance. P, the participation ratio, is what IsoScore's chain
    of definitions comes to. Neither a shift, a rotation nor a common scale changes it. It is 0
    where nothing varies at all.

    Shapes:
        ``(N, D)`` with N, D ≥ 2.

    Args:
        embeddings: one row a sample.

    Raises:
        InvalidValueError: fewer than 2 samples or dimensions.

    References:
        IsoScore: Measuring the Uniformity of Embedding Space Utilization, W. Rudman, N. Gillman, T.
        Rayne and C. Eickhoff, 2021, https://arxiv.org/abs/2108.07344

    >>> round(isotropy(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])), 6)
    1.0
    """
    if embeddings.ndim != 2 or min(embeddings.shape) < 2:
        raise InvalidValueError(
            "embeddings must be at least 2 samples of at least 2 dimensions, but got"
            f" {tuple(embeddings.shape)}."
        )
    x = embeddings.detach().double()
    covariance = torch.cov(x.T)
    squares = covariance.square().sum()  # Σλ², without finding λ
    if squares == 0:
        return 0.0
    participation = covariance.trace().square() / squares
    return float((participation - 1) / (x.shape[1] - 1))
