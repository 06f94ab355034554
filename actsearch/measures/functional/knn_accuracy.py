"""k-nearest-neighbour accuracy: whether what is near has the same class; nothing is trained."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from actsearch.errors import InvalidValueError


def knn_accuracy(
    embeddings: Tensor,
    labels: Tensor,
    reference: Tensor,
    reference_labels: Tensor,
    k: int = 10,
    temperature: float = 0.1,
) -> float:
    r"""Return the share of samples whose nearest reference samples vote for the right class.

    .. math:: \hat y = \arg\max_c \sum_{j \in N_k} e^{\cos(z, z_j) / \tau} \, [y_j = c]

    Shapes:
        embeddings ``(N, D)``, labels ``(N,)``, reference ``(M, D)``, its labels ``(M,)``.

    Args:
        embeddings: what is classified.
        labels: its classes, from 0.
        reference: what votes.
        reference_labels: its classes.
        k: number of neighbours, from 1 to M.
        temperature: :math:`\tau`, above 0.

    Raises:
        InvalidValueError: k out of its range.

    References:
        Unsupervised Feature Learning via Non-Parametric Instance-level Discrimination, Z. Wu, Y.
        Xiong, S. Yu and D. Lin, 2018, https://arxiv.org/abs/1805.01978
    """
    if not 1 <= k <= len(reference):
        raise InvalidValueError(f"k must be from 1 to {len(reference)}, but got {k!r}.")
    x, bank = (F.normalize(z.detach(), dim=1) for z in (embeddings, reference))
    similarity, nearest = (x @ bank.T).topk(k, dim=1)
    classes = int(torch.cat([labels, reference_labels]).max()) + 1
    votes = torch.zeros(len(x), classes, dtype=similarity.dtype, device=x.device)
    votes.scatter_add_(1, reference_labels[nearest], (similarity / temperature).exp())
    return float((votes.argmax(1) == labels).float().mean())
