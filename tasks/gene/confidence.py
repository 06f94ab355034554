"""How well a least-squares fit determines what is read off it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

NUDGE = 1e-4
"""Of the central differences."""


@torch.no_grad()
def interval(
    parameters: Sequence[nn.Parameter],
    residuals: Callable[[], Tensor],
    quantities: Callable[[], Tensor],
) -> Tensor:
    r"""Return half the width of the 95 % interval of quantities of the parameters ``(Q,)``.

    .. math:: t_{0.975} \sqrt{g^\top (J^\top J)^{-1} g \; \frac{\|r\|^2}{N - k}}

    J and g are the derivatives of the residuals r and of the quantity by the parameters, at a fit.
    It is that of a linear model: where the quantity is far from certain, it is too narrow on the
    side where the residuals turn flat.

    Args:
        parameters: k numbers in all; those that change nothing do not count.
        residuals: at the present parameters, ``(N,)``.
        quantities: likewise.

    References:
        Nonlinear Regression Analysis and Its Applications, D. Bates and D. Watts, 1988,
        https://doi.org/10.1002/9780470316757
    """
    from scipy.stats import t

    columns, gradients = [], []
    for parameter in parameters:
        flat = parameter.view(-1)
        for i in range(len(flat)):
            ends = []
            middle = flat[i].clone()
            for sign in (1, -1):
                flat[i] = middle + sign * NUDGE
                ends.append((residuals(), quantities()))
            flat[i] = middle
            (after, up), (before, down) = ends
            columns.append((after - before) / (2 * NUDGE))
            gradients.append((up - down) / (2 * NUDGE))
    jacobian, gradient = torch.stack(columns, 1), torch.stack(gradients, 1)
    used = jacobian.any(0)
    left = residuals()
    free = max(1, len(left) - int(used.sum()))
    inverse = torch.linalg.pinv(jacobian[:, used].T @ jacobian[:, used], hermitian=True)
    variance = torch.einsum("qi,ij,qj->q", gradient[:, used], inverse, gradient[:, used])
    return float(t.ppf(0.975, free)) * (variance * left.square().sum() / free).sqrt()
