"""Whether small disturbances of a state grow under a map: radius and norm of its Jacobian."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.func import vjp

Map = Callable[[Tensor], Tensor]

LARGEST = 500
"""Points of a field whose whole Jacobian is computed; of more, the radius is iterated."""

POWER_STEPS = 60
"""Of the power iteration, of which the second half counts."""


def without_mean(v: Tensor) -> Tensor:
    """Return fields ``(N, *points)`` less their means."""
    return v - v.flatten(1).mean(1).view(-1, *[1] * (v.ndim - 1))


def jacobian(step: Map, u: Tensor) -> Tensor:
    r"""Return :math:`P J P` of a map at one state ``(*points)``, P what takes the mean away.

    The mean of a conserved field stays, with eigenvalue 1; it says nothing of stability.

    Args:
        step: maps states ``(N, *points)``.
        u: the state.

    Shapes:
        ``(n, n)``, n the number of points.
    """
    units = torch.eye(u.numel(), dtype=u.dtype, device=u.device).view(-1, *u.shape)
    _, pull = cast(Any, vjp(step, u.expand_as(units)))  # states do not mix, so each has a row
    return without_mean(pull(without_mean(units))[0]).flatten(1)


def radius_and_norm(step: Map, states: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return the spectral radius and the norm of the Jacobian at states, ``(N,)`` each.

    Below a radius of 1 small disturbances die out in the end; where the norm is above 1 they may
    grow before. Of fields with more than :data:`LARGEST` points, by power iteration.

    Args:
        step: maps states ``(N, *points)``.
        states: where.
    """
    if states[0].numel() <= LARGEST:
        found = torch.stack([jacobian(step, u) for u in states])
        if not found.isfinite().all():
            return (torch.full_like(found[:, 0, 0], torch.inf),) * 2
        radius = torch.linalg.eigvals(found).abs().amax(1)
        return radius, torch.linalg.matrix_norm(found, 2)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(states.shape, generator=generator).to(states)
    return growth(step, states, start, POWER_STEPS), singular(step, states, start)


def growth(step: Map, states: Tensor, v: Tensor, steps: int) -> Tensor:
    """Return by how much a disturbance grows a step, ``(N,)``, as of half of the steps on.

    Args:
        step: maps states ``(N, *points)``.
        states: where the Jacobian is taken.
        v: disturbances ``(N, *points)``.
        steps: products with the Jacobian, at least 2.
    """
    rates = []
    v = without_mean(v)
    for _ in range(steps):
        v = v / _norms(v)
        v = without_mean(product(step, states, v))
        rates.append(_norms(v).flatten().log())
    return torch.stack(rates[steps // 2 :]).mean(0).exp()


def singular(step: Map, states: Tensor, v: Tensor) -> Tensor:
    """Return the largest singular value of the Jacobian at states, by power iteration."""
    v = without_mean(v)
    for _ in range(POWER_STEPS):
        v = v / _norms(v)
        _, pull = cast(Any, vjp(step, states))
        v = without_mean(pull(without_mean(product(step, states, v)))[0])
    return _norms(v).flatten().sqrt()


def product(step: Map, states: Tensor, v: Tensor) -> Tensor:
    """Return the Jacobian at states times disturbances, each ``(N, *points)``."""

    def transposed(w: Tensor) -> Tensor:
        return cast(Tensor, cast(Any, vjp(step, states))[1](w)[0])

    # Reverse mode twice, which every activation has; the inner one is linear in w.
    return cast(Tensor, cast(Any, vjp(transposed, torch.zeros_like(states)))[1](v)[0])


def _norms(v: Tensor) -> Tensor:
    found: Tensor = torch.linalg.vector_norm(v.flatten(1), dim=1)
    return found.view(-1, *[1] * (v.ndim - 1))
