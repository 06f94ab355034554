"""Problems whose solutions are known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from .problem import Derivatives, Problem

PI, DIFFUSIVITY = math.pi, 0.1


class Heat(Problem):
    r"""Heat in a rod whose ends are held at 0.

    .. math:: u_t = 0.1 \, u_{xx}, \qquad u = e^{-0.1 \pi^2 t} \sin \pi x
    """

    inputs, outputs = ("x", "t"), ("u",)
    bounds = ((0.0, 1.0), (0.0, 1.0))
    order = 2

    @override
    def residual(self, x: Tensor, u: Tensor, d: Derivatives) -> Tensor:
        return d("u", "t") - DIFFUSIVITY * d("u", "xx")

    @override
    def conditions(self, points: Tensor) -> Sequence[tuple[Tensor, Tensor]]:
        start = points[points[:, 1] == 0]
        ends = points[(points[:, 0] == 0) | (points[:, 0] == 1)]
        return [(start, (PI * start[:, :1]).sin()), (ends, torch.zeros_like(ends[:, :1]))]

    @override
    def exact(self, x: Tensor) -> Tensor:
        place, time = x[:, :1], x[:, 1:]
        return torch.exp(-DIFFUSIVITY * PI**2 * time) * (PI * place).sin()

    @override
    def transform(self, x: Tensor, u: Tensor) -> Tensor:
        place, time = x[:, :1], x[:, 1:]
        return (PI * place).sin() + time * place * (1 - place) * u


class Elasticity(Problem):
    r"""A plane elastic plate, by Navier's and Cauchy's equations, that is moved at its edges.

    .. math:: \mu \nabla^2 u + (\lambda + \mu) \nabla (\nabla \cdot u) + f = 0, \qquad
              u = (\cos 2 \pi x \sin \pi y, \; y^4 \sin \pi x)

    With :math:`\lambda = 1`, :math:`\mu = 0.5`, and f of that solution, which is DeepXDE's example
    of an elastic plate (L. Lu et al., 2021, https://doi.org/10.1137/19M1274067).
    """

    inputs, outputs = ("x", "y"), ("u", "v")
    bounds = ((0.0, 1.0), (0.0, 1.0))
    order = 2
    lame, shear = 1.0, 0.5

    @override
    def residual(self, x: Tensor, u: Tensor, d: Derivatives) -> Tensor:
        bulk = self.lame + self.shear
        along = self.shear * (d("u", "xx") + d("u", "yy")) + bulk * (d("u", "xx") + d("v", "xy"))
        across = self.shear * (d("v", "xx") + d("v", "yy")) + bulk * (d("u", "xy") + d("v", "yy"))
        return torch.stack([along, across], 1) + self.force(x)

    def force(self, x: Tensor) -> Tensor:
        """Return the force on the body ``(N, 2)`` that the solution needs."""
        a, y = PI * x[:, 0], x[:, 1]
        b = PI * y
        u_xx, u_yy = (-k * PI**2 * (2 * a).cos() * b.sin() for k in (4, 1))
        u_xy = -2 * PI**2 * (2 * a).sin() * b.cos()
        v_xx, v_yy = -(PI**2) * y**4 * a.sin(), 12 * y**2 * a.sin()
        v_xy = 4 * PI * y**3 * a.cos()
        bulk = self.lame + self.shear
        along = self.shear * (u_xx + u_yy) + bulk * (u_xx + v_xy)
        across = self.shear * (v_xx + v_yy) + bulk * (u_xy + v_yy)
        return -torch.stack([along, across], 1)

    @override
    def conditions(self, points: Tensor) -> Sequence[tuple[Tensor, Tensor]]:
        return [(points, self.exact(points))]

    @override
    def exact(self, x: Tensor) -> Tensor:
        a, y = PI * x[:, 0], x[:, 1]
        return torch.stack([(2 * a).cos() * (PI * y).sin(), y**4 * a.sin()], 1)

    @override
    def transform(self, x: Tensor, u: Tensor) -> Tensor:
        a, y = PI * x[:, 0], x[:, 1]
        edges = torch.stack([(PI * y).sin(), y * a.sin()], 1)
        return edges + (x * (1 - x)).prod(1, keepdim=True) * u


PROBLEMS: dict[str, type[Problem]] = {"heat": Heat, "elasticity": Elasticity}
"""By name."""
