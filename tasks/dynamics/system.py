"""A damped system whose bound says that it comes to rest, its integration and its equilibria."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from actsearch import Site, properties
from actsearch.activations.base import Activation

RATES_OF_A_STATE = 8
"""Values that ρ is averaged over, since of a single one nothing is known of its shape."""

Field = Callable[[Tensor], Tensor]


class DampedSystem(nn.Module):
    r"""A field that is a contraction by construction.

    .. math:: \dot x = -\lambda \odot x + W \varphi(V x + a) + b, \qquad
              m = \min_i \lambda_i - \|W\|_2 \|V\|_2 L_\varphi

    with :math:`L_\varphi` the catalogue's ``derivative_bound``. Where the margin m is above 0, any
    two solutions approach each other at least as :math:`e^{-mt}`, and there is one equilibrium.

    Sites: ``field`` (φ) requires a finite bound. Without a ``damping`` of its own, :math:`\lambda_i
    = \|W\|_2 \|V\|_2 L_\varphi + \frac18 \sum_k \rho(s_{ik})`, and ``rate`` (ρ) requires to be
    nowhere below 0, so that the margin is not either. What goes into ρ begins evenly on [-2, 2].

    Shapes:
        input ``(*, D)``, output ``(*, D)``.

    Args:
        states: D.
        hidden: width of φ.
        damping: λ, the same for all states; learned where it is not given.

    References:
        Non-Euclidean contraction theory for robust nonlinear stability, A. Davydov, S. Jafarpour
        and F. Bullo, 2022, https://arxiv.org/abs/2103.12263
    """

    def __init__(self, states: int, hidden: int, damping: float | None = None) -> None:
        super().__init__()
        self.inner = nn.Linear(states, hidden)
        self.field = Site("tanh", requires="derivative_bound < inf")
        self.outer = nn.Linear(hidden, states)
        self.fixed = damping
        if damping is None:
            self.rate = Site("softplus", requires="minimum >= 0")
            self.decay = nn.Parameter(torch.linspace(-2, 2, RATES_OF_A_STATE).repeat(states, 1))

    def forward(self, x: Tensor, damping: Tensor | None = None) -> Tensor:
        """Return the velocity; the damping may be given, where it is needed many times."""
        damping = self.damping() if damping is None else damping
        return cast(Tensor, self.outer(self.field(self.inner(x))) - damping * x)

    def slope(self) -> float:
        r"""Return :math:`L_\varphi`; infinite, where nothing is known."""
        function = self.field.activation
        return (
            properties(function).derivative_bound if isinstance(function, Activation) else math.inf
        )

    def lipschitz(self) -> Tensor:
        r"""Return :math:`\|W\|_2 \|V\|_2 L_\varphi`, 0-dimensional."""
        outer, inner = (torch.linalg.matrix_norm(m.weight, 2) for m in (self.outer, self.inner))
        return cast(Tensor, outer * inner * self.slope())

    def damping(self) -> Tensor:
        """Return λ of each state ``(D,)``."""
        if self.fixed is not None:
            return torch.full_like(self.outer.bias, self.fixed)
        # Forced, an activation without a bound leaves nothing to stand on: rates alone damp then.
        bound = self.lipschitz() if math.isfinite(self.slope()) else 0.0
        return self.rates().mean(1) + bound

    def rates(self) -> Tensor:
        """Return what a learned damping has beyond the bound ``(D, 8)``."""
        return cast(Tensor, self.rate(self.decay))

    def margin(self) -> Tensor:
        """Return m, 0-dimensional: above 0, the system is a contraction."""
        return self.damping().min() - self.lipschitz()


def integrate(field: Field, start: Tensor, times: Tensor, steps: int) -> Tensor:
    """Return the states at given times, by the classical Runge-Kutta method.

    Args:
        field: velocity of states ``(N, D)``.
        start: states at the first time ``(N, D)``.
        times: of each trajectory, rising, ``(N, T)``.
        steps: of each interval, of one length.

    Returns:
        ``(N, T, D)``.
    """
    x, found = start, [start]
    for interval in times.diff().unbind(1):
        h = interval[:, None] / steps
        for _ in range(steps):
            k1 = field(x)
            k2 = field(x + h / 2 * k1)
            k3 = field(x + h / 2 * k2)
            k4 = field(x + h * k3)
            x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        found.append(x)
    return torch.stack(found, 1)


def equilibria(field: Field, starts: Tensor, iterations: int = 50) -> tuple[Tensor, Tensor]:
    """Return the equilibria that Newton's method finds from several starts, and which are stable.

    Args:
        field: velocity of states ``(N, D)``, each row by itself.
        starts: ``(N, D)``; float64.
        iterations: of Newton's method.

    Returns:
        Equilibria ``(E, D)`` in the order of their first state, and whether all eigenvalues of the
        field's derivative there have a real part below 0 ``(E,)``.
    """
    jacobian = torch.func.vmap(torch.func.jacrev(lambda x: field(x[None])[0]))
    x = starts.detach()
    for _ in range(iterations):
        x = x - torch.linalg.lstsq(jacobian(x).detach(), field(x).detach()[..., None])[0][..., 0]
    speed = field(x).detach().abs().amax(1)
    size = 1 + x.abs().amax(1)
    x = x[(speed < 1e-9 * size) & x.isfinite().all(1)]
    kept: list[Tensor] = []
    for one in x[x[:, 0].argsort()]:
        if all((one - other).abs().max() > 1e-6 * (1 + one.abs().max()) for other in kept):
            kept.append(one)
    if not kept:
        return x.new_zeros(0, x.shape[1]), torch.zeros(0, dtype=torch.bool)
    found = torch.stack(kept)
    return found, torch.linalg.eigvals(jacobian(found)).real.amax(1) < 0
