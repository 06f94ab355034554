"""A network potential of any molecules, by the orbitals of their atoms."""

from __future__ import annotations

from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from typing_extensions import override

from actsearch.task.options import PositiveFloat, PositiveInt

from ..potential.interatomic import InteratomicPotential
from .density import OrbitalDensity, Orbitals
from .networks import ElementNetworks


class OrbitalPotential(InteratomicPotential):
    r"""The energy of molecules as a sum over atoms, each in the orbitals of its neighbours.

    .. math:: E = E_0 + \sigma_E \sum_i N_{z_i}(\sqrt{\rho_i}), \quad
              \rho_{ilc} = \sum_m \Big( \sum_{j \ne i} f(r_{ij}) \, r_{ij}^l Y_{lm}(\hat r_{ij})
                  \sum_k w_{z_i z_j l k c} \, \varphi(\sqrt{\zeta_{lk}} \, r_{ij}) \Big)^2

    The embedded-atom descriptor: with the radial activation :math:`\varphi(x) = e^{-x^2}` atoms
    see s, p and d orbitals of Gaussian type, whose exponents ζ and coefficients w are learned. A
    density is the same however the molecule is turned and equal atoms are exchanged, and molecules
    may be of any size. Sites: ``radial``, φ, requires ``smoothness >= 2 and bounded``; the layers
    of the elements' networks N require ``smoothness >= 2``.

    What is logged, and how to read molecules of one's own, is said by
    :class:`actsearch_tasks.potential.interatomic.InteratomicPotential`; how the result drives a
    simulation, by :func:`actsearch_tasks.potential.ase_calculator`::

        actsearch search orbital --task.data own.extxyz

    Shapes:
        input ``(N, A, 4)``, atomic number and x, y, z in angstrom; output ``(N,)``, eV.

    Args:
        orbitals: ``s``, ``sp`` or ``spd``.
        exponents: of each angular momentum, at first from 0.08 to 2.5 / Å², at least 1.
        learn_exponents: whether they are trained.
        channels: densities of each angular momentum, at least 1.
        cutoff: angstrom beyond which atoms do not see each other, above 0.
        hidden: units of a layer, at least 1.
        depth: hidden layers, at least 1.
        lr: learning rate :math:`\eta` of AdamW, above 0; it falls to 0 along a cosine.
        **options: those of every :class:`InteratomicPotential`.

    Raises:
        ActsearchError: an option out of its range, or a file that is not that.

    References:
        Embedded atom neural network potentials, Y. Zhang, C. Hu and B. Jiang, 2019,
        https://doi.org/10.1021/acs.jpclett.9b02037
        Electronic wave functions I, S. F. Boys, 1950, https://doi.org/10.1098/rspa.1950.0036
    """

    space = "orbitals"
    trainer_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 8}

    def __init__(
        self,
        orbitals: Orbitals = "spd",
        exponents: PositiveInt = 8,
        learn_exponents: bool = True,
        channels: PositiveInt = 16,
        cutoff: PositiveFloat = 6.0,
        hidden: PositiveInt = 32,
        depth: PositiveInt = 2,
        lr: PositiveFloat = 3e-3,
        **options: Any,
    ) -> None:
        super().__init__(lr=lr, **options)
        elements = len(self.elements)
        density = OrbitalDensity(elements, orbitals, exponents, learn_exponents, channels, cutoff)
        networks = ElementNetworks(elements, len(orbitals) * channels, hidden, depth)
        self.network = _OfAtoms(self.elements, density, networks, len(orbitals) * channels)
        self.to(self.tensors[0].dtype)

    @override
    def on_fit_start(self) -> None:
        """Standardise the densities, which the radial function that now stands there makes."""
        cast(_OfAtoms, self.network).standardise(self.select("train")[0].to(self.device))


class _OfAtoms(nn.Module):
    """The sum over atoms of what the networks make of their densities."""

    elements: Tensor
    centre: Tensor
    spread: Tensor

    def __init__(
        self, elements: Tensor, density: nn.Module, networks: nn.Module, features: int
    ) -> None:
        super().__init__()
        self.density, self.networks = density, networks
        self.register_buffer("elements", elements)
        self.register_buffer("centre", torch.zeros(len(elements), features))
        self.register_buffer("spread", torch.ones(len(elements), features))

    @torch.no_grad()
    def standardise(self, atoms: Tensor) -> None:
        """Have the densities of these atoms mean 0 and deviation 1 in each element."""
        element = self.element(atoms)
        density, counts = self.density(atoms, element), element.sum((0, 1)).clamp_min(1)[:, None]
        self.centre.copy_(torch.einsum("naf,nae->ef", density, element) / counts)
        left = (density - element @ self.centre).square()
        variance = torch.einsum("naf,nae->ef", left, element) / counts
        self.spread.copy_(torch.where(variance > 1e-8, variance, 1.0).sqrt())

    def element(self, atoms: Tensor) -> Tensor:
        """Return which element each atom is, ``(N, A, elements)``; none where there is no atom."""
        return (atoms[..., :1] == self.elements).to(atoms.dtype)

    def forward(self, atoms: Tensor) -> Tensor:
        """Return a number of each molecule, ``(N,)``."""
        element = self.element(atoms)
        left = self.density(atoms, element) - element @ self.centre
        scaled = left * (element @ (1 / self.spread))
        return cast(Tensor, self.networks(scaled, element).sum((1, 2)))
