"""Standard deviation of normalised embeddings: 0 where they have collapsed to one point."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def embedding_deviation(embeddings: Tensor) -> float:
    r"""Return the deviation of the embeddings on the unit sphere, averaged over dimensions.

    It is :math:`1/\sqrt D` for embeddings spread evenly over the sphere, and 0 after collapse.

    Shapes:
        ``(N, D)``.

    Args:
        embeddings: one row a sample.

    References:
        Exploring Simple Siamese Representation Learning, X. Chen and K. He, 2020,
        https://arxiv.org/abs/2011.10566
    """
    return float(F.normalize(embeddings.detach().double(), dim=1).std(0, correction=0).mean())
