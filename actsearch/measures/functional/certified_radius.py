"""How far a sample may be moved before its class can change, by Lipschitz bounds."""

from __future__ import annotations

from torch import Tensor


def certified_radius(logits: Tensor, labels: Tensor, pairs: Tensor) -> Tensor:
    r"""Return the Euclidean radius within which each sample keeps its right class, ``(N,)``.

    .. math:: r = \min_{c \ne y} \frac{f_y - f_c}{L_{yc}}

    and 0 where another class is ahead.

    Args:
        logits: f, ``(N, C)``.
        labels: y, ``(N,)``.
        pairs: bounds on the Lipschitz constants of the differences of two logits, ``(C, C)``.

    References:
        Lipschitz-Margin Training: Scalable Certification of Perturbation Invariance for Deep Neural
        Networks, Y. Tsuzuku, I. Sato and M. Sugiyama, 2018, https://arxiv.org/abs/1802.04034

    >>> import torch
    >>> logits, pairs = torch.tensor([[3.0, 1.0], [3.0, 1.0]]), torch.full((2, 2), 4.0)
    >>> certified_radius(logits, torch.tensor([0, 1]), pairs)
    tensor([0.5000, 0.0000], dtype=torch.float64)
    """
    own = labels[:, None]
    margins = logits.double().gather(1, own) - logits.double()
    radii = (margins.clamp(min=0) / pairs.double()[labels]).nan_to_num(nan=0.0, posinf=float("inf"))
    return radii.scatter(1, own, float("inf")).amin(1)
