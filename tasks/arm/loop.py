"""A closed loop: a plant, and a neuron or a small network that drives it."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from actsearch import Site

from ..dynamics.system import integrate
from .plant import Plant

ODD = "odd and zero_preserving"

NEAR = 1e-5
"""Of 0, for differences that stand for a derivative there."""


class ControlLoop(nn.Module):
    r"""A plant :math:`\dot x = A x + B (u + d)`, :math:`y = C x`, under feedback of its error.

    .. math:: u = V \varphi(k e), \qquad e = r - y

    of a neuron; a network adds to :math:`k e` what it makes of e, :math:`\dot e` and
    :math:`\int e`, in units of the time τ, by layers without bias. Every site requires an odd
    activation that keeps 0: else there is no torque back, or a push at rest.

    The state z is x, and with a network :math:`\int e` too.

    Args:
        plant: what is controlled.
        hidden: units of the network; 0 for the neuron alone.
        volts: V, what φ is multiplied by.
        gain: k at first; with ``hold_slope`` :math:`k \varphi'(0)`, and always.
        hold_slope: whether the linearised loop is held, and the shape of φ alone differs.
        disturbance: d, constant, in the unit of u.
        time: τ.
    """

    free: Tensor
    driven: Tensor
    sees: Tensor
    output: Tensor
    by_reference: Tensor

    def __init__(
        self,
        plant: Plant,
        hidden: int,
        volts: float,
        gain: float,
        hold_slope: bool,
        disturbance: float,
        time: float,
    ) -> None:
        super().__init__()
        A, B, C = (torch.from_numpy(matrix) for matrix in (plant.A, plant.B, plant.C))
        self.hold_slope, self.disturbance = hold_slope, disturbance
        if hidden:
            zero = A.new_zeros(1)
            free = torch.block_diag(A, zero[None])
            free[-1, :-1] = -C
            sees = torch.stack([-C, -time * C @ A, 0 * C])
            sees = torch.cat([sees, torch.tensor([[0.0], [0.0], [1 / time]])], 1)
            B, C = torch.cat([B, zero]), torch.cat([C, zero])
            self.inner = nn.Linear(3, hidden, bias=False)
            self.hidden = Site("tanh", requires=ODD)
            self.outer = nn.Linear(hidden, 1, bias=False)
        else:
            free, sees = A, -C[None]
        self.register_buffer("free", free)  # z by its velocity, where nothing drives
        self.register_buffer("driven", volts * B)
        self.register_buffer("sees", sees)  # by z, what the controller sees
        self.register_buffer("output", C)
        integral = torch.zeros_like(C)
        integral[len(plant.B) :] = 1
        self.register_buffer("by_reference", integral)
        self.volts, self.is_network = volts, hidden > 0
        start = torch.tensor(gain, dtype=torch.float64).log()
        start = start if hold_slope else start + 0.1 * torch.randn(())
        self.log_gain = nn.Parameter(start)
        self.controller = Site("tanh", requires=ODD)
        self.double()

    def gain(self) -> Tensor:
        """Return k."""
        k = self.log_gain.exp()
        if not self.hold_slope:
            return k
        slope = self.slope(k.new_zeros(1, 1))[0, 0]
        return k / torch.where(slope > 0, slope, torch.ones_like(slope))

    def slope(self, driven: Tensor) -> Tensor:
        """Return the slope of φ at inputs ``(N, 1)``."""
        above, below = self.controller(driven + NEAR), self.controller(driven - NEAR)
        return cast(Tensor, (above - below) / (2 * NEAR))

    def forward(self, seen: Tensor, gain: Tensor | None = None) -> Tensor:
        """Return u / V ``(N, 1)`` of the error ``(N, 1)``, or of a network's inputs ``(N, 3)``.

        The gain may be given, where it is needed many times.
        """
        total = (self.gain() if gain is None else gain) * seen[:, :1]
        if self.is_network:
            total = total + self.outer(self.hidden(self.inner(seen)))
        return cast(Tensor, self.controller(total))

    def field(self, reference: Tensor, gain: Tensor) -> tuple[Callable[[Tensor], Tensor], ...]:
        """Return velocity and u / V by the state ``(N, m)``, each to its reference ``(N,)``."""
        ahead = torch.zeros(len(reference), len(self.sees)).to(reference)
        ahead[:, 0] = reference
        push = self.disturbance / self.volts * self.driven
        push = push + reference[:, None] * self.by_reference

        def control(z: Tensor) -> Tensor:
            return cast(Tensor, self(torch.addmm(ahead, z, self.sees.T), gain))

        def velocity(z: Tensor) -> Tensor:
            free = torch.addmm(push, z, self.free.T)
            return torch.addmm(free, control(z), self.driven[None])

        return velocity, control

    def respond(self, reference: Tensor, times: Tensor) -> Tensor:
        """Return z after the reference steps from 0 ``(N,)``, at even times ``(T,)``."""
        velocity, _ = self.field(reference, self.gain())
        rest = reference.new_zeros(len(reference), len(self.output))
        return integrate(velocity, rest, times.expand(len(rest), -1), 1)

    def drive(self, reference: Tensor, z: Tensor) -> Tensor:
        """Return u in states ``(N, T, m)``, ``(N, T)``."""
        _, control = self.field(reference.repeat_interleave(z.shape[1]), self.gain())
        return self.volts * control(z.flatten(0, 1)).view(z.shape[:2])

    @torch.no_grad()
    def linearised(self) -> tuple[Tensor, Tensor]:
        """Return the derivative of u / V at rest by the state, and that by the reference."""
        ends = NEAR * torch.eye(len(self.sees)).to(self.sees)
        by_seen = (self(ends) - self(-ends))[:, 0] / (2 * NEAR)
        return by_seen @ self.sees, by_seen[0]
