"""Search for an input near a sample that is classified otherwise."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def attack(
    logits: Callable[[Tensor], Tensor], x: Tensor, labels: Tensor, radius: Tensor, steps: int
) -> Tensor:
    """Return which samples keep their class under projected gradient descent, ``(N,)``.

    From each sample, steps of 2.5 radii over their number go along the normalised gradient of
    the margin to the nearest other class, and back into the Euclidean ball. What it does not break
    may be broken all the same.

    Args:
        logits: the model, from ``(N, *)`` to ``(N, C)``.
        x: samples, ``(N, *)``.
        labels: their classes, ``(N,)``.
        radius: of the ball about each, ``(N,)``.
        steps: how many.

    References:
        Towards Deep Learning Models Resistant to Adversarial Attacks, A. Madry, A. Makelov, L.
        Schmidt, D. Tsipras and A. Vladu, 2017, https://arxiv.org/abs/1706.06083
    """
    rows, own = x.flatten(1), labels[:, None]
    reach = radius.to(rows.dtype)[:, None]
    moved, kept = rows, torch.ones_like(labels, dtype=torch.bool)
    for step in range(steps + 1):
        with torch.enable_grad():
            moved = moved.detach().requires_grad_()
            scores = logits(moved.view_as(x))
            margin = (scores.gather(1, own) - scores.scatter(1, own, -torch.inf)).amin(1)
            (gradient,) = torch.autograd.grad(margin.sum(), moved)
        kept &= margin.detach() > 0
        if step < steps:
            change = moved.detach() - rows - 2.5 / steps * reach * F.normalize(gradient, dim=1)
            length = torch.linalg.vector_norm(change, dim=1, keepdim=True)
            moved = rows + change * (reach / length.clamp_min(1e-12)).clamp(max=1)
    return kept
