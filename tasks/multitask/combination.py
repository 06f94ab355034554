"""How the gradients of several losses become one step: a weight for each, from their products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

import torch
from torch import Tensor

from actsearch.errors import TaskError

Combine = Literal["sum", "pcgrad", "upgrad", "cagrad", "mgda"]

Weighting = Callable[[Tensor], Tensor]
"""From the products of K gradients, ``(K, K)``, to the weight of each, ``(K,)``."""


def make_weighting(combine: Combine) -> Weighting | None:
    """Return a weighting by name, none for the sum.

    Raises:
        TaskError: TorchJD, or what it needs for it, is not installed.

    References:
        Conflict-Averse Gradient Descent for Multi-task Learning, B. Liu, X. Liu, X. Jin, P. Stone
        and Q. Liu, 2021, https://arxiv.org/abs/2110.14048
        Jacobian Descent for Multi-Objective Optimization, P. Quinton and V. Rey, 2024,
        https://arxiv.org/abs/2406.16232
        Multiple-gradient descent algorithm (MGDA) for multiobjective optimization, J.-A. Désidéri,
        2012, https://doi.org/10.1016/j.crma.2012.03.014
    """
    if combine == "sum":
        return None
    if combine == "pcgrad":
        return pcgrad_weights
    try:
        from torchjd import aggregation

        if combine == "upgrad":
            return cast(Weighting, aggregation.UPGradWeighting())
        if combine == "cagrad":
            return cast(Weighting, aggregation.CAGradWeighting(c=0.5))
        return cast(Weighting, aggregation.MGDAWeighting())
    except ImportError:  # its own parts ask for further ones
        raise TaskError(
            f"combine {combine} needs TorchJD with all that it asks for, which is not installed."
            ' Install it with pip install "actsearch[multitask]".'
        ) from None


def pcgrad_weights(products: Tensor) -> Tensor:
    r"""Return the weights by which PCGrad adds gradients up.

    Each gradient loses its part along every other, in random order, with which it conflicts:

    .. math:: g_i \leftarrow g_i - \frac{\langle g_i, g_j \rangle}{\lVert g_j \rVert^2} g_j
              \quad \text{where} \quad \langle g_i, g_j \rangle < 0

    and the step is their sum. All of it stays within what the gradients span, so that their
    products suffice.

    Args:
        products: :math:`\langle g_i, g_j \rangle`, ``(K, K)``.

    References:
        Gradient Surgery for Multi-Task Learning, T. Yu, S. Kumar, A. Gupta, S. Levine, K. Hausman
        and C. Finn, 2020, https://arxiv.org/abs/2001.06782

    >>> pcgrad_weights(torch.tensor([[1.0, -0.5], [-0.5, 1.0]]))
    tensor([1.5000, 1.5000])
    """
    parts = torch.eye(len(products), dtype=products.dtype, device=products.device)
    for own, part in enumerate(parts):
        for other in torch.randperm(len(products)).tolist():
            along = part @ products[:, other]
            if other != own and along < 0:
                part[other] -= along / products[other, other]
    return parts.sum(0)
