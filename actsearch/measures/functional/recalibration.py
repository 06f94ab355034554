"""Recalibration: one number that makes a classifier's logits as sure as they are right."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

_LARGEST_TEMPERATURE = 100.0
_CLIPS = 61


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    r"""Return the temperature T that minimises the loss of :math:`\mathrm{softmax}(z / T)`.

    The loss is convex in 1/T, so there is one minimum; T is from 1/100 to 100. Above 1 the logits
    were too sure.

    Shapes:
        logits z ``(N, C)``, labels ``(N,)``.

    Args:
        logits: of rows that the model was not trained on.
        labels: their classes, from 0.

    References:
        On Calibration of Modern Neural Networks, C. Guo, G. Pleiss, Y. Sun and K. Weinberger, 2017,
        https://arxiv.org/abs/1706.04599

    >>> import torch
    >>> z = torch.tensor([[5.0, 0.0], [5.0, 0.0], [5.0, 0.0], [5.0, 0.0]])
    >>> T = fit_temperature(z, torch.tensor([0, 0, 0, 1]))  # right in 3 of 4: z / T = log 3
    >>> round(5 / T, 3) == round(math.log(3), 3)
    True
    """
    from scipy.optimize import minimize_scalar

    logits = logits.detach().double()
    edge = math.log(_LARGEST_TEMPERATURE)
    found = minimize_scalar(
        lambda log_t: float(F.cross_entropy(logits * math.exp(-log_t), labels)),
        bounds=(-edge, edge),
        method="bounded",
    )
    return math.exp(found.x)


def fit_clip(logits: Tensor, labels: Tensor) -> float:
    r"""Return the bound c that minimises the loss of :math:`\mathrm{softmax}(\min(\max(z,-c),c))`.

    The loss may have several minima in c, so it is looked up on a logarithmic grid, up to the
    largest logit, which is no clip. A clip makes ties: take the class from what was not clipped.

    Shapes:
        logits z ``(N, C)``, labels ``(N,)``.

    Args:
        logits: of rows that the model was not trained on.
        labels: their classes, from 0.
    """
    logits = logits.detach().double()
    largest = float(logits.abs().max()) or 1.0
    grid = [largest * 10 ** (-3 * k / (_CLIPS - 1)) for k in range(_CLIPS)]
    return min(grid, key=lambda c: float(F.cross_entropy(logits.clamp(-c, c), labels)))
