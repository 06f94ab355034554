"""What potentials of molecules share: data, forces, loss, and how they are judged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from typing_extensions import override

from actsearch.errors import InvalidValueError
from actsearch.task.options import Interval, NonNegativeFloat, PositiveFloat, PositiveInt
from actsearch.task.pictures import evaluating
from actsearch.task.tensor_task import TensorTask
from actsearch.task.tensors import Batch, Split, Splits

from ..data.molecules import ForceUnits, load_molecules
from .pictures import draw_potential
from .simulation import (
    energy_in_dynamics,
    force_jumps,
    forces_along,
    hessian,
    stretched,
    vibrations,
)

PATH_STEPS = 1000
TIME_STEP, TEMPERATURE = 0.5, 300.0
"""Of dynamics, in fs and K."""


class InteratomicPotential(TensorTask):
    r"""The energy of molecules from where their atoms are; its slope gives the forces.

    .. math:: F = -\nabla E(R), \qquad
              L = \frac{\langle (E - E^{ref})^2 \rangle}{\sigma_E^2}
                  + w \frac{\langle |F - F^{ref}|^2 \rangle}{\sigma_F^2}

    In float64, by automatic differentiation. Energies count from a sum over the elements, fitted to
    the training split: the output is what is left, :attr:`offsets` have the rest. Each geometry is
    turned at random, as molecules lie in space. A subclass sets :attr:`network`.

    Logged in validation and test: ``force_error``, mean absolute error of a component in meV /
    angstrom, and ``energy_error`` in meV. In test also what the potential is like in use:

    - ``force_jump``: of a molecule that is stretched from 0.95 to 1.05 of its size in 1,000 steps,
      the largest change of a force in one of them, eV / angstrom; and ``jump_ratio``, that of ten
      steps over it: 10 where forces are continuous, 1 where they jump;
    - ``energy_spread``, meV, and ``energy_drift``, meV / ps: standard deviation and trend of the
      total energy in free motion of 0.5 fs a step from 300 K;
    - ``frequency_error``, cm⁻¹: the worst frequency of vibration, at the reference optimum, where
      that is known; and ``imaginary``, how many are;
    - ``rotation_error``, eV: by how much an energy changes as the molecule turns.

    Molecules of one's own, one or several, come in extended XYZ, as ASE writes it of what any of
    its codes has computed: ``ase.io.write("own.extxyz", frames)``.

    Shapes:
        input ``(N, A, 4)``, atomic number and x, y, z in angstrom; output ``(N,)``, eV.

    Args:
        data: ``formaldehyde``, 400 geometries up to 2,500 K by B3LYP/6-31G*; or a file in extended
            XYZ with energies and forces.
        units: of the forces of a file; its energies are in the first of both, its positions in
            angstrom.
        force_weight: w, at least 0.
        train_size: geometries to train on, at least 2; all that are not held out where not given.
        dynamics_steps: of the free motion in test, at least 1.
        dtype: of data and network.
        batch_size: geometries of a training step, at least 1.
        lr: learning rate :math:`\eta` of AdamW, above 0; it falls to 0 along a cosine.
        weight_decay: decoupled weight decay :math:`\lambda`, at least 0.
        **options: those of every :class:`TensorTask`.

    Attributes:
        network: maps atoms to a number of each molecule, the energy in units of its spread.
        offsets: eV of an atom of each of :attr:`elements`.
        elements: atomic numbers, rising.

    Raises:
        ActsearchError: an option out of its range, or a file that is not that.

    References:
        SchNet: a continuous-filter convolutional neural network for modeling quantum interactions,
        K. Schütt et al., 2017, https://arxiv.org/abs/1706.08566
        Recent developments in the PySCF program package, Q. Sun et al., 2020,
        https://doi.org/10.1063/5.0006074
    """

    monitor = "val_force_error"
    mode = "min"
    test_metric = "test_force_error"
    space = "smooth"
    trainer_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 12}
    search_defaults: ClassVar[dict[str, Any]] = {"trials": 15, "confirm": 2, "seeds": 6}
    epoch_steps = 20
    least_batch = 1
    network: nn.Module
    elements: Tensor
    offsets: Tensor
    spread: Tensor

    def __init__(
        self,
        data: str = "formaldehyde",
        units: ForceUnits = "eV/angstrom",
        force_weight: NonNegativeFloat = 1.0,
        train_size: Annotated[int, Interval(2)] | None = None,
        dynamics_steps: PositiveInt = 200,
        dtype: Literal["float64", "float32"] = "float64",
        batch_size: PositiveInt = 25,
        lr: PositiveFloat = 0.01,
        weight_decay: NonNegativeFloat = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, lr=lr, weight_decay=weight_decay, **options)
        self.force_weight, self.dynamics_steps = force_weight, dynamics_steps
        found = load_molecules(data, units)
        self.masses, self.reference = found.masses, found.vibrations
        self.hold(*_turned(found.atoms, found.forces, self._generator()), found.energies)
        if train_size is not None:
            self._keep(train_size)
        atoms, forces, energies = self.tensors
        rows = self.splits.train
        self.register_buffer("elements", torch.tensor(sorted(found.masses)).to(atoms))
        counts = self.composition(atoms)
        offsets = torch.linalg.lstsq(counts[rows], energies[rows, None]).solution
        energies = energies - (counts @ offsets)[:, 0]
        present = (atoms[rows, :, 0] > 0).sum()
        spread = energies[rows].std()
        force_spread = (forces[rows].square().sum() / (3 * present)).sqrt()
        self.register_buffer("offsets", offsets[:, 0].clone())
        self.register_buffer("spread", torch.stack([spread, force_spread]).clamp_min(1e-6))
        kind = getattr(torch, dtype)
        self.tensors = tuple(tensor.to(kind) for tensor in (atoms, forces, energies))
        self.example_input_array = self.tensors[0][rows[:4]]

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.hparams["split_seed"])

    def _keep(self, train_size: int) -> None:
        """Train on some of the rows that are not held out."""
        rows = self.splits.train
        if train_size > len(rows):
            raise InvalidValueError(
                f"train_size must be at most {len(rows)}, the rows that are not held out, but got"
                f" {train_size}."
            )
        chosen = torch.randperm(len(rows), generator=self._generator())[:train_size]
        self.splits = Splits(rows[chosen].sort().values, self.splits.val, self.splits.test)

    def composition(self, atoms: Tensor) -> Tensor:
        """Return how many atoms of each element a molecule has, ``(N, elements)``."""
        return (atoms[..., :1] == self.elements).sum(1).to(atoms)

    def require_known(self, atoms: Tensor) -> None:
        """Refuse molecules with elements that were not trained.

        Raises:
            InvalidValueError: and which.
        """
        kinds = atoms[..., 0].unique()
        other = kinds[(kinds > 0) & ~torch.isin(kinds, self.elements)]
        if len(other):
            known = ", ".join(f"{z:g}" for z in self.elements.tolist())
            raise InvalidValueError(
                f"atomic numbers must be among those trained, {known}, but got {other[0]:g}."
            )

    def forward(self, atoms: Tensor) -> Tensor:
        """Return the energies beyond the offsets."""
        return cast(Tensor, self.spread[0] * self.network(atoms))

    def energies_and_forces(self, atoms: Tensor) -> tuple[Tensor, Tensor]:
        """Return energies beyond the offsets ``(N,)`` and forces ``(N, A, 3)``, to be trained."""
        kinds, positions = atoms[..., :1], atoms[..., 1:]

        def total(positions: Tensor) -> tuple[Tensor, Tensor]:
            energies = self(torch.cat([kinds, positions], -1))
            return energies.sum(), energies

        slope, energies = cast(Any, torch.func.grad(total, has_aux=True)(positions))
        return energies, -slope

    def evaluated(self, atoms: Tensor) -> tuple[Tensor, Tensor]:
        """Return the same, in validation as well, and not to be trained."""
        with torch.inference_mode(False), torch.no_grad():
            return self.energies_and_forces(atoms.clone())

    @override
    def loss(self, batch: Batch) -> Tensor:
        atoms, forces, energies = batch
        found, slopes = self.energies_and_forces(atoms)
        energy, force = self.spread.square()
        components = 3 * (atoms[..., 0] > 0).sum()
        by_energy = (found - energies).square().mean() / energy
        by_force = (slopes - forces).square().sum() / components / force
        return cast(Tensor, by_energy + self.force_weight * by_force)

    @override
    def score(self, batch: Batch) -> dict[str, Tensor]:
        atoms, forces, energies = batch
        found, slopes = self.evaluated(atoms)
        components = 3 * (atoms[..., 0] > 0).sum(1)
        force_error = (slopes - forces).abs().sum((1, 2)) / components
        return {"force_error": 1e3 * force_error, "energy_error": 1e3 * (found - energies).abs()}

    @override
    def figures(self, part: Split, means: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return self.in_use() if part == "test" else {}

    @torch.no_grad()
    def in_use(self) -> dict[str, Tensor]:
        """Return what the potential is like on a path, in dynamics, in vibration and turned."""
        atoms, forces, _ = (tensor.to(self.device) for tensor in self.select("test"))
        lowest = self.lowest("test")
        jump, ratio = force_jumps(forces_along(self.evaluated, stretched(lowest, PATH_STEPS)))
        total = 1e3 * energy_in_dynamics(
            self.evaluated,
            lowest,
            self.masses_of(lowest),
            self.dynamics_steps,
            TIME_STEP,
            TEMPERATURE,
        )
        time = 1e-3 * TIME_STEP * torch.arange(len(total)).to(total)
        time = time - time.mean()
        turned, _ = _turned(atoms, forces, self._generator())
        found = {
            "force_jump": jump,
            "jump_ratio": ratio,
            "energy_spread": total.std(),
            "energy_drift": (time * (total - total.mean())).sum() / time.square().sum(),
            "rotation_error": (self(turned) - self(atoms)).abs().max(),
        }
        if self.reference is not None:
            wave_numbers = self.frequencies()
            wanted = self.reference.frequencies.to(wave_numbers)
            found["frequency_error"] = (wave_numbers - wanted).abs().max()
            found["imaginary"] = (wave_numbers < 0).sum().to(total)
        return found

    def lowest(self, part: Split) -> Tensor:
        """Return the molecule ``(A, 4)`` of a split that has the lowest energy."""
        atoms, _, energies = self.select(part)
        found = atoms[energies.argmin()].to(self.device)
        return found[found[:, 0] > 0]

    def masses_of(self, atoms: Tensor) -> Tensor:
        """Return the masses of the atoms of a molecule ``(A, 4)``."""
        return torch.tensor([self.masses[int(z)] for z in atoms[:, 0].tolist()]).to(atoms)

    def frequencies(self) -> Tensor:
        """Return the potential's frequencies at the reference optimum, in cm⁻¹, rising."""
        assert self.reference is not None, "data have a reference"
        atoms = self.reference.atoms.to(self.spread)
        slopes = hessian(self.evaluated, atoms)
        return vibrations(slopes, atoms[:, 1:], self.masses_of(atoms))

    @override
    @torch.no_grad()
    def pictures(self, folder: Path) -> None:
        """Write the force along a path, forces against the reference, and frequencies."""
        with evaluating(self):
            atoms, forces, _ = (tensor.to(self.device) for tensor in self.select("val"))
            found = self.evaluated(atoms)[1]
            along = forces_along(self.evaluated, stretched(self.lowest("val"), PATH_STEPS))
            spectra = None
            if self.reference is not None:
                spectra = self.reference.frequencies, self.frequencies().cpu()
        there = atoms[..., 0] > 0
        pair = (forces[there].flatten().cpu(), found[there].flatten().cpu())
        draw_potential(folder / "potential.png", along.cpu(), pair, spectra)


def _turned(atoms: Tensor, forces: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Turn each geometry ``(N, A, 4)`` and its forces at random, uniformly over all rotations."""
    random = torch.randn(len(atoms), 3, 3, generator=generator, dtype=torch.float64)
    axes, triangle = torch.linalg.qr(random)
    axes = axes * triangle.diagonal(dim1=1, dim2=2).sign()[:, None]
    axes = (axes * torch.linalg.det(axes)[:, None, None]).to(atoms)
    return torch.cat([atoms[..., :1], atoms[..., 1:] @ axes], -1), forces @ axes
