"""Scores that are larger for what is unlike the training rows, and how well one tells it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def typicality_gap(values: Tensor, reference: Tensor) -> Tensor:
    r"""Return how far values are from what is usual in training, on either side, ``(N,)``.

    .. math:: \mathrm{mean}_k \, |v_k - \mu_k| / \sigma_k

    with mean and deviation of the reference; a column that is constant there has deviation 1.

    Args:
        values: one column for each statistic k, ``(N, K)``.
        reference: the same of training rows, ``(M, K)``.

    >>> typicality_gap(torch.tensor([[3.0], [0.0]]), torch.tensor([[-1.0], [1.0]]))
    tensor([3., 0.])
    """
    deviation = reference.std(0, correction=0)
    return ((values - reference.mean(0)) / deviation.where(deviation > 0, 1.0)).abs().mean(1)


def neighbour_distance(embeddings: Tensor, reference: Tensor, k: int = 5) -> Tensor:
    """Return the distance to the k-th nearest training embedding, all of length 1, ``(N,)``.

    Args:
        embeddings: ``(N, D)``.
        reference: of training rows, ``(M, D)``.
        k: which neighbour, from 1; the farthest where there are fewer.

    References:
        Out-of-Distribution Detection with Deep Nearest Neighbors, Y. Sun, Y. Ming, X. Zhu and Y.
        Li, 2022, https://arxiv.org/abs/2204.06507
    """
    x, bank = F.normalize(embeddings.detach(), dim=1), F.normalize(reference.detach(), dim=1)
    nearest: Tensor = torch.cdist(x, bank).topk(min(k, len(bank)), largest=False).values
    return nearest[:, -1]


def detection(known: Tensor, novel: Tensor) -> tuple[float, float]:
    """Return how well a score tells novel from known samples: AUROC and FPR95.

    AUROC is the chance that a novel sample scores above a known one, a tie counting half. FPR95 is
    the share of known samples at or above the score that 95 % of the novel ones reach.

    Args:
        known: scores ``(N,)``.
        novel: scores ``(M,)``.

    >>> detection(torch.tensor([0.0, 1.0]), torch.tensor([2.0, 3.0]))
    (1.0, 0.0)
    """
    from sklearn.metrics import auc, roc_curve

    is_novel = torch.cat([torch.zeros(len(known)), torch.ones(len(novel))])
    scores = torch.cat([known, novel]).detach().cpu()
    false, true, _ = roc_curve(is_novel.numpy(), scores.numpy(), drop_intermediate=False)
    return float(auc(false, true)), float(false[(true >= 0.95).argmax()])
