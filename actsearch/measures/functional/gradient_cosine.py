"""How far the gradients of several losses agree on the parameters that they share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from actsearch.errors import InvalidValueError


def shared_gradients(losses: Sequence[Tensor], parameters: Iterable[nn.Parameter]) -> Tensor:
    """Return the gradient of each loss by the parameters that all of them reach, ``(K, P)``.

    The graph of the losses is kept, and no parameter's ``grad`` is touched.

    Args:
        losses: K scalars.
        parameters: those that are looked at; what one of the losses does not reach is left out.

    Raises:
        InvalidValueError: the losses share none.
    """
    learned = [p for p in parameters if p.requires_grad]
    each = [
        torch.autograd.grad(loss, learned, retain_graph=True, allow_unused=True)
        if loss.requires_grad
        else [None] * len(learned)
        for loss in losses
    ]
    shared = [parts for parts in zip(*each, strict=True) if all(part is not None for part in parts)]
    if not shared:
        raise InvalidValueError(
            f"losses must share parameters, but none of {len(learned)} is reached by all"
            f" {len(losses)}. Give losses of one network."
        )
    return torch.stack([torch.cat([g.flatten() for g in row]) for row in zip(*shared, strict=True)])


def gradient_cosine(gradients: Tensor) -> Tensor:
    r"""Return the cosine of each pair of gradients, ``(K, K)``; 0 where one of them is 0.

    .. math:: \cos_{ij} = \frac{\langle \nabla_\theta L_i, \nabla_\theta L_j \rangle}
                               {\lVert \nabla_\theta L_i \rVert \lVert \nabla_\theta L_j \rVert}

    A step on one loss raises the other, to first order, where it is below 0.

    Args:
        gradients: of K losses, ``(K, P)``.

    References:
        Gradient Surgery for Multi-Task Learning, T. Yu, S. Kumar, A. Gupta, S. Levine, K. Hausman
        and C. Finn, 2020, https://arxiv.org/abs/2001.06782

    >>> gradient_cosine(torch.tensor([[1.0, 0.0], [-2.0, 0.0]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    unit = torch.nn.functional.normalize(gradients.double(), dim=1, eps=1e-300)
    return (unit @ unit.T).clamp(-1, 1).to(gradients)
