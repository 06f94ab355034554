"""What is read off a response curve, and the least squares of what it is added to."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

FAR = 1e8
"""Regulators, over their mean, at which a response that saturates has done so."""


@torch.no_grad()
def half_response(response: Callable[[Tensor], Tensor], scale: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return the half response K and the effective Hill coefficient n, each ``(G,)``.

    .. math:: K = u_{50}, \qquad n = \ln 81 / \ln(u_{90} / u_{10})

    Of a Hill function these are its own. NaN where the response does not saturate.

    Args:
        response: of regulators ``(N, G)``, rising or falling.
        scale: a usual size of each regulator ``(G,)``.

    References:
        Amplified Sensitivity Arising from Covalent Modification in Biological Systems, A. Goldbeter
        and D. Koshland, 1981, https://doi.org/10.1073/pnas.78.11.6840
    """
    ends = torch.tensor([[0.0], [FAR / 10], [FAR]]).to(scale) * scale
    rest, near, full = response(ends)
    saturates = (full - near).abs() <= 1e-6 * (full - rest).abs()
    shares = torch.tensor([[0.1], [0.5], [0.9]]).to(scale)
    low = torch.full((3, len(scale)), -math.log(FAR)).to(scale)
    high = middle = -low
    for _ in range(60):
        middle = (low + high) / 2
        below = (response(scale * middle.exp()) - rest) / (full - rest) < shares
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    ten, fifty, ninety = middle
    half, steepness = scale * fifty.exp(), math.log(81) / (ninety - ten)
    return torch.where(saturates, half, torch.nan), torch.where(saturates, steepness, torch.nan)


def non_negative(terms: Tensor, targets: Tensor, sizes: Tensor) -> Tensor:
    """Return the factors of terms, none below 0, that come nearest to the targets ``(L, G)``.

    Args:
        terms: what is added ``(L, N, G)``.
        targets: ``(N, G)``; NaN where a value is missing.
        sizes: what an error is relative to ``(N, G)``.
    """
    from scipy.optimize import nnls

    columns = []
    for each, target, size in zip(terms.unbind(-1), targets.T, sizes.T, strict=True):
        seen = target.isfinite()
        design, wanted = each[:, seen] / size[seen], target[seen] / size[seen]
        columns.append(torch.from_numpy(nnls(design.T.cpu().numpy(), wanted.cpu().numpy())[0]))
    return torch.stack(columns, 1).to(targets)
