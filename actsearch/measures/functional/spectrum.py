"""The spectrum of embeddings: how much of their variance each principal direction has."""

from __future__ import annotations

import torch
from torch import Tensor

from actsearch.errors import InvalidValueError


def spectrum(embeddings: Tensor) -> Tensor:
    """Return the eigenvalues of the covariance of embeddings, the largest first, ``(D,)``.

    Neither a shift nor a rotation changes them.

    Shapes:
        ``(N, D)`` with N ≥ 2.

    Args:
        embeddings: one row a sample.

    Raises:
        InvalidValueError: fewer than 2 samples.

    >>> spectrum(torch.tensor([[3.0, 1.0], [-3.0, 1.0]])).round(decimals=9).tolist()
    [18.0, 0.0]
    """
    if embeddings.ndim != 2 or len(embeddings) < 2:
        raise InvalidValueError(
            f"embeddings must be at least 2 samples (N, D), but got {tuple(embeddings.shape)}."
        )
    x = embeddings.detach().double()
    values = torch.linalg.svdvals(x - x.mean(0)).square() / (len(x) - 1)
    return torch.nn.functional.pad(values, (0, x.shape[1] - len(values)))


def entropy_rank(values: Tensor) -> float:
    r"""Return the exponential of the entropy of eigenvalues: how many directions share a variance.

    .. math:: \exp\Big(-\sum_k p_k \log p_k\Big), \quad p_k = \frac{\lambda_k}{\sum_j \lambda_j}

    It is at most D, for a variance that is even in all directions, and 0 where nothing varies.
    RankMe (:func:`effective_rank`) takes singular values instead, of embeddings as they stand.

    Args:
        values: λ, not below 0, such as the eigenvalues of a covariance, ``(D,)``.

    References:
        The effective rank: A measure of effective dimensionality, O. Roy and M. Vetterli, 2007,
        https://ieeexplore.ieee.org/document/7098875

    >>> round(entropy_rank(torch.tensor([2.0, 2.0, 0.0])), 6)
    2.0
    """
    total = values.sum()
    if total == 0:
        return 0.0
    return float(torch.special.entr(values.double() / total).sum().exp())
