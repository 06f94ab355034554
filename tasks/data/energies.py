"""Energies with a largest curvature of 1, and descent on them with a shaped gradient."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Field = Callable[[Tensor], Tensor]

ROUNDING = 1e-12
"""Rises below it, relative to an energy above 1, are rounding."""


def curvatures(dimension: int) -> Tensor:
    """Return the eigenvalues of the quadratic energy, from 0.1 to 1, in float64."""
    return torch.linspace(0.1, 1, dimension, dtype=torch.float64)


def _quadratic(x: Tensor) -> Tensor:
    return (curvatures(x.shape[-1]).to(x) * x.square()).sum(-1) / 2


def _quadratic_gradient(x: Tensor) -> Tensor:
    return curvatures(x.shape[-1]).to(x) * x


def _log_cosh(x: Tensor) -> Tensor:
    size = x.abs()
    return (size + torch.log1p(torch.exp(-2 * size)) - math.log(2)).sum(-1)


def _cosine(x: Tensor) -> Tensor:
    return (1 - x.cos()).sum(-1)


ENERGIES: dict[str, tuple[Field, Field]] = {
    "quadratic": (_quadratic, _quadratic_gradient),
    "log_cosh": (_log_cosh, torch.tanh),
    "cosine": (_cosine, torch.sin),
}
"""By name the energy of states ``(*, D)``, and its gradient."""


@torch.no_grad()
def descend(energy: str, shape: Field, start: Tensor, step: float, steps: int) -> Tensor:
    r"""Return the energies on the way down with a shaped gradient, ``(steps + 1,)``.

    .. math:: x_{k+1} = x_k - \eta \, \varphi(\nabla E(x_k))

    Args:
        energy: name of one of :data:`ENERGIES`.
        shape: :math:`\varphi`, of each element.
        start: :math:`x_0`, ``(D,)``.
        step: :math:`\eta`; curvatures of 1 at most allow up to 2.
        steps: how many.
    """
    value, gradient = ENERGIES[energy]
    path = start.new_empty(steps + 1, len(start))
    path[0] = start
    for k in range(steps):
        path[k + 1] = path[k] - step * shape(gradient(path[k]))
    return value(path)


def rises(energies: Tensor) -> Tensor:
    """Return by how much each step raised the energy ``(steps,)``, 0 where it did not.

    What rounding can do, :data:`ROUNDING`, is no rise.
    """
    rise = energies.diff()
    return torch.where(rise > ROUNDING * energies[:-1].abs().clamp_min(1), rise, 0)
