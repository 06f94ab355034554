"""Linear probe: how much of the classes a linear map can read from frozen embeddings."""

from __future__ import annotations

import torch
from torch import Tensor


def linear_probe(
    embeddings: Tensor,
    labels: Tensor,
    reference: Tensor,
    reference_labels: Tensor,
    penalty: float = 1.0,
) -> float:
    r"""Return the accuracy of a ridge regression onto the classes, fitted on reference embeddings.

    .. math:: \hat W = (X^T X + \lambda I)^{-1} X^T Y, \quad \hat y = \arg\max_c (x \hat W)_c

    X is standardised by the reference, and Y is one-hot, centred. In closed form a probe costs
    milliseconds and has no learning rate to tune, so that it can be an objective of every epoch.

    Shapes:
        embeddings ``(N, D)``, labels ``(N,)``, reference ``(M, D)``, its labels ``(M,)``.

    Args:
        embeddings: what is classified.
        labels: its classes, from 0.
        reference: what the probe is fitted on.
        reference_labels: its classes.
        penalty: :math:`\lambda`, above 0.
    """
    x, bank = embeddings.detach().double(), reference.detach().double()
    mean, deviation = bank.mean(0), bank.std(0, correction=0)
    scale = torch.where(deviation > 0, deviation, 1.0)
    bank, x = (bank - mean) / scale, (x - mean) / scale
    classes = int(torch.cat([labels, reference_labels]).max()) + 1
    target = torch.nn.functional.one_hot(reference_labels, classes).double()
    share = target.mean(0)
    gram = bank.T @ bank + penalty * torch.eye(bank.shape[1], dtype=bank.dtype, device=bank.device)
    weight = torch.linalg.solve(gram, bank.T @ (target - share))
    return float(((x @ weight + share).argmax(1) == labels).float().mean())
