"""The density of its neighbours' orbitals that each atom sees."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from actsearch import Site

from .harmonics import MOMENTA, solid_harmonics

Orbitals = Literal["s", "sp", "spd"]

FLATTEST, STEEPEST = 0.08, 2.5
"""Exponents at first, in 1 / angstrom²."""

SMALLEST_DENSITY = 1e-4
"""Added to a density before its root, whose slope is infinite at 0."""


class OrbitalDensity(nn.Module):
    r"""Invariant densities of the orbitals of an atom's neighbours.

    .. math:: \rho_{ilc} = \sum_m \Big( \sum_{j \ne i} f(r_{ij}) \, r_{ij}^l Y_{lm}(\hat r_{ij})
                  \sum_k w_{z_i z_j l k c} \, \varphi(\sqrt{\zeta_{lk}} \, r_{ij}) \Big)^2

    With :math:`\varphi(x) = e^{-x^2}` these are Gaussian-type orbitals; f falls smoothly to 0 at
    the cutoff, with two derivatives. What is put out is :math:`\sqrt{\rho + 10^{-4}}`.

    Args:
        elements: how many there are.
        orbitals: ``s``, ``sp`` or ``spd``, so l from 0 to 2.
        exponents: ζ of each l, at first spaced evenly by their logarithm from 0.08 to 2.5 / Å².
        learn_exponents: whether they are trained.
        channels: c of each l.
        cutoff: in angstrom.

    Shapes:
        atoms ``(N, A, 4)`` and which element each is, ``(N, A, elements)``; densities
        ``(N, A, l * channels)``.
    """

    def __init__(
        self,
        elements: int,
        orbitals: Orbitals,
        exponents: int,
        learn_exponents: bool,
        channels: int,
        cutoff: float,
    ) -> None:
        super().__init__()
        kinds = len(orbitals)
        self.momenta = list(MOMENTA[: kinds * kinds])
        self.cutoff = cutoff
        spaced = torch.linspace(math.log(FLATTEST), math.log(STEEPEST), exponents)
        self.log_exponents = nn.Parameter(spaced.repeat(kinds, 1), requires_grad=learn_exponents)
        # Large enough that the floor is small beside the densities.
        self.weights = nn.Parameter(torch.randn(elements, elements, kinds, exponents, channels))
        self.radial = Site("gaussian_radial", requires="smoothness >= 2 and bounded")

    def forward(self, atoms: Tensor, element: Tensor) -> Tensor:
        """Return the densities' roots."""
        count = atoms.shape[1]
        apart = atoms[:, None, :, 1:] - atoms[:, :, None, 1:]  # from i to j
        there = element.sum(-1)
        paired = there[:, :, None] * there[:, None] * (1 - torch.eye(count).to(atoms))
        # Where there is no pair, 1 stands for the distance, whose root has no slope at 0.
        distance = (apart.square().sum(-1) + (1 - paired)).sqrt()
        inside = paired * (distance < self.cutoff)
        fall = inside * (1 - (distance / self.cutoff).square()) ** 3
        scaled = distance[..., None, None] * (0.5 * self.log_exponents).exp()
        radial = fall[..., None, None] * self.radial(scaled)  # (N, A, A, l, k)
        angular = solid_harmonics(apart)[..., : len(self.momenta)]
        pairs = (radial[..., self.momenta, :] * angular[..., None]).flatten(3)
        of_kind = torch.einsum("nijq,nje->nieq", pairs, element)
        of_kind = of_kind.unflatten(-1, (len(self.momenta), -1))
        weights = self.weights[:, :, self.momenta]
        waves = torch.einsum("niemk,nia,aemkc->nimc", of_kind, element, weights)
        sizes = [self.momenta.count(momentum) for momentum in sorted(set(self.momenta))]
        density = [part.sum(2) for part in waves.square().split(sizes, 2)]
        return (torch.cat(density, -1) + SMALLEST_DENSITY).sqrt()
