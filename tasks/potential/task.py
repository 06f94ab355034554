"""A network potential of one molecule."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from typing_extensions import override

from actsearch.errors import InvalidValueError
from actsearch.task.options import PositiveInt

from ..nets.perceptron import plain_perceptron, smooth_site
from .descriptors import Coordinates, InverseDistances
from .interatomic import InteratomicPotential


class Potential(InteratomicPotential):
    r"""The energy of a molecule as a network of its distances; forces by automatic differentiation.

    .. math:: E = E_0 + \sigma_E \langle N(P f) \rangle_P, \quad f_{ij} = 1 / |r_i - r_j|

    The mean is over all orders P of equal atoms, so that exchanging them changes nothing. A
    multilayer perceptron N, inputs standardised. Sites require ``smoothness >= 2``: forces are a
    first derivative of the energy, and what moves in them, or vibrates, needs the next one to be
    continuous as well. ReLU, forced to stand there, fits forces, but they jump: dynamics do not
    keep the energy, and frequencies are those of the descriptor alone.

    Everything else, what is logged and how to read molecules of one's own, is said by
    :class:`actsearch_tasks.potential.interatomic.InteratomicPotential`; how the result drives a
    simulation, by :func:`actsearch_tasks.potential.ase_calculator`::

        actsearch search potential --task.data own.extxyz --task.units hartree/bohr

    Shapes:
        input ``(N, A, 4)``, atomic number and x, y, z in angstrom; output ``(N,)``, eV.

    Args:
        descriptor: ``distances``; or ``coordinates``, to compare with: the energy then changes as
            the molecule turns.
        hidden: units of a layer, at least 1.
        depth: hidden layers, at least 1.
        **options: those of every :class:`InteratomicPotential`.

    Raises:
        ActsearchError: an option out of its range, or data that are not of one molecule.

    References:
        Generalized neural-network representation of high-dimensional potential-energy surfaces,
        J. Behler and M. Parrinello, 2007, https://doi.org/10.1103/PhysRevLett.98.146401
        ANI-1, J. Smith, O. Isayev and A. Roitberg, 2017, https://doi.org/10.1039/C6SC05720A
    """

    def __init__(
        self,
        descriptor: Literal["distances", "coordinates"] = "distances",
        hidden: PositiveInt = 64,
        depth: PositiveInt = 2,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        atoms = self.tensors[0]
        self.numbers = atoms[0, :, 0]
        self.require_known(atoms)
        seen = InverseDistances(self.numbers) if descriptor == "distances" else Coordinates()
        features = seen(atoms[self.splits.train]).flatten(0, 1)
        layers = plain_perceptron(features.shape[1], 1, hidden, depth, lambda: smooth_site(2))
        self.network = _OfDescriptor(seen, features, layers)
        self.to(atoms.dtype)

    @override
    def require_known(self, atoms: Tensor) -> None:
        molecule = self.numbers.tolist()
        for kinds in atoms[..., 0].tolist():
            if kinds != molecule:
                wanted, got = (", ".join(f"{z:g}" for z in x if z) for x in (molecule, kinds))
                raise InvalidValueError(
                    f"atomic numbers must be those of one molecule in one order, {wanted}, but got"
                    f" {got}. Or take the task orbital."
                )


class _OfDescriptor(nn.Module):
    """A perceptron of standardised features, meaned over the orders of equal atoms."""

    centre: Tensor
    spread: Tensor

    def __init__(self, descriptor: nn.Module, features: Tensor, layers: nn.Module) -> None:
        super().__init__()
        self.descriptor, self.layers = descriptor, layers
        spread = features.std(0)
        self.register_buffer("centre", features.mean(0))
        self.register_buffer("spread", torch.where(spread > 0, spread, 1.0))

    def forward(self, atoms: Tensor) -> Tensor:
        """Return a number of each molecule, ``(N,)``."""
        return self.of_features(self.descriptor(atoms))

    def of_features(self, features: Tensor) -> Tensor:
        """Return the same from features ``(N, orders, F)``."""
        found: Tensor = self.layers((features - self.centre) / self.spread)
        return found.mean((1, 2))
