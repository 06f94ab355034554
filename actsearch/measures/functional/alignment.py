"""Alignment: how near the embeddings of two views of one sample lie."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def alignment(first: Tensor, second: Tensor) -> float:
    r"""Return the mean squared distance on the unit sphere between paired embeddings.

    0 is perfect, 4 the most.

    .. math:: \frac1N \sum_n \lVert z_n - z'_n \rVert^2

    Shapes:
        both ``(N, D)``.

    Args:
        first: embeddings of one view.
        second: those of another view of the same samples, in the same order.

    References:
        Understanding Contrastive Representation Learning through Alignment and Uniformity on the
        Hypersphere, T. Wang and P. Isola, 2020, https://arxiv.org/abs/2005.10242

    >>> import torch
    >>> alignment(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]]))
    2.0
    """
    a, b = (F.normalize(z.detach().double(), dim=1) for z in (first, second))
    return float((a - b).square().sum(1).mean())
