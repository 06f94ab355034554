"""Variance of a stochastic gradient over the draws of its noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from actsearch.errors import InvalidValueError


def gradient_variance(
    loss: Callable[[int], Tensor], parameters: Sequence[Tensor], draws: int = 16
) -> float:
    r"""Return the total variance of a gradient estimate: the trace of its covariance, unbiased.

    .. math:: \sum_i \mathrm{Var}_k\left[\frac{\partial L_k}{\partial \theta_i}\right]

    Args:
        loss: the loss under draw k, which it is given, so that two losses can be compared on the
            same noise.
        parameters: :math:`\theta`; one that the loss does not use has gradient 0.
        draws: number of draws, at least 2.

    Raises:
        InvalidValueError: fewer than 2 draws.

    >>> w = torch.ones(1, requires_grad=True)
    >>> gradient_variance(lambda k: (w * k).sum(), [w], draws=3)
    1.0
    """
    if draws < 2:
        raise InvalidValueError(f"draws must be at least 2, but got {draws!r}.")
    with torch.enable_grad():
        rows = []
        for draw in range(draws):
            gradients = torch.autograd.grad(loss(draw), parameters, allow_unused=True)
            known = [
                torch.zeros_like(p) if g is None else g
                for g, p in zip(gradients, parameters, strict=True)
            ]
            rows.append(torch.cat([g.flatten() for g in known]))
    return float(torch.stack(rows).var(0).sum())
