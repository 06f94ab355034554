"""The objectives: cosine similarity, and variance, invariance, covariance."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def negative_cosine(prediction: Tensor, target: Tensor) -> Tensor:
    r"""Return the loss of SimSiam, and up to a factor and a constant that of BYOL.

    .. math:: -\frac1N \sum_n \frac{p_n \cdot z_n}{\lVert p_n \rVert \lVert z_n \rVert}

    Shapes:
        both ``(N, D)``.

    References:
        Exploring Simple Siamese Representation Learning, X. Chen and K. He, 2020,
        https://arxiv.org/abs/2011.10566; Bootstrap your own latent: A new approach to
        self-supervised Learning, J.-B. Grill et al., 2020, https://arxiv.org/abs/2006.07733
    """
    return -F.cosine_similarity(prediction, target, dim=1).mean()


def vicreg(first: Tensor, second: Tensor, variance: float = 25.0) -> Tensor:
    r"""Return the loss of VICReg.

    .. math::

        \frac{25}{ND} \lVert Z - Z' \rVert^2
        + \sum_{Z, Z'} \frac{\mu}{D} \sum_d \max(0, 1 - \sqrt{\mathrm{Var}[z_d] + 10^{-4}})
        + \frac{1}{D} \sum_{d \neq e} \mathrm{Cov}[z_d, z_e]^2

    with the variance term averaged over the two views.

    Shapes:
        both ``(N, D)``, N ≥ 2.

    Args:
        first: embeddings of one view.
        second: those of the other.
        variance: :math:`\mu`, what keeps the embeddings from collapsing.

    References:
        VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised Learning, A.
        Bardes, J. Ponce and Y. LeCun, 2021, https://arxiv.org/abs/2105.04906
    """
    loss = 25 * F.mse_loss(first, second)
    for z in (first, second):
        spread = F.relu(1 - torch.sqrt(z.var(0) + 1e-4)).mean()
        matrix = torch.cov(z.T)
        crossed = (matrix.square().sum() - matrix.diagonal().square().sum()) / z.shape[1]
        loss = loss + variance * spread / 2 + crossed
    return loss
