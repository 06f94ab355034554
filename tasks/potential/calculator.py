"""A trained potential as a calculator of the Atomic Simulation Environment."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from actsearch.errors import TaskError

from .interatomic import InteratomicPotential


def ase_calculator(potential: InteratomicPotential) -> Any:
    """Return an ASE calculator of energy and forces, for relaxation, vibrations, dynamics.

    What a search has found, trained and used::

        potential = Potential(data="own.extxyz")
        Placement.load("best.json").apply(potential)
        lightning.Trainer(max_epochs=50).fit(potential)
        atoms = ase.io.read("own.extxyz")
        atoms.calc = ase_calculator(potential)
        ase.optimize.BFGS(atoms).run(fmax=0.01)
        ase.vibrations.Vibrations(atoms).run()

    Args:
        potential: trained; it is set to evaluation.

    Raises:
        TaskError: ASE is not installed.
        InvalidValueError: later, where a molecule has an element that was not trained.

    References:
        The atomic simulation environment, A. Larsen et al., 2017,
        https://doi.org/10.1088/1361-648X/aa680e
    """
    try:
        from ase.calculators.calculator import Calculator, all_changes
    except ImportError:
        raise TaskError(
            "a calculator needs ase, which is not installed. Install it with"
            ' pip install "actsearch[chemistry]".'
        ) from None
    potential.eval()

    class _Fitted(Calculator):
        implemented_properties = ["energy", "forces"]  # noqa: RUF012  # as ASE declares it

        def calculate(
            self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes
        ) -> None:
            super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
            assert self.atoms is not None, "ASE says of which atoms"
            rows = np.column_stack([self.atoms.numbers, self.atoms.get_positions()])
            given = torch.from_numpy(rows)[None].to(potential.offsets)
            potential.require_known(given)
            energies, forces = potential.evaluated(given)
            total = energies + potential.composition(given) @ potential.offsets
            self.results = {"energy": float(total), "forces": forces[0].double().cpu().numpy()}

    return _Fitted()  # type: ignore[no-untyped-call]  # ASE's methods have no types
