"""Molecules with energies and forces: formaldehyde, which comes along, or extended XYZ."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from actsearch.errors import InvalidValueError, TaskError

from .tables import read_arrays

ForceUnits = Literal["eV/angstrom", "hartree/bohr", "hartree/angstrom", "kcal/mol/angstrom"]

HARTREE, BOHR, KILOCALORIE = 27.211386245988, 0.529177210903, 0.0433641042
"""In eV, angstrom and eV, the last of one mole."""

FACTORS: dict[ForceUnits, tuple[float, float]] = {
    "eV/angstrom": (1.0, 1.0),
    "hartree/bohr": (HARTREE, HARTREE / BOHR),
    "hartree/angstrom": (HARTREE, HARTREE),
    "kcal/mol/angstrom": (KILOCALORIE, KILOCALORIE),
}
"""By the unit of forces, what energies and forces are in eV and angstrom."""

CLOSEST = 0.3
"""Angstrom that two atoms are apart, at least; half of the bond of hydrogen."""


@dataclass(frozen=True)
class Vibrations:
    """How a molecule vibrates at its optimum, by the reference method.

    Args:
        atoms: at the optimum, ``(A, 4)``.
        frequencies: in cm⁻¹, rising.
    """

    atoms: Tensor
    frequencies: Tensor


@dataclass(frozen=True)
class Molecules:
    """Geometries of one or several molecules, in eV and angstrom, in float64.

    Args:
        atoms: ``(N, A, 4)``: atomic number and x, y, z of each; smaller molecules are filled up
            with zeros.
        energies: ``(N,)``.
        forces: ``(N, A, 3)``.
        masses: of each element, by atomic number, in unified atomic mass units.
        vibrations: of the reference, where they are known.
    """

    atoms: Tensor
    energies: Tensor
    forces: Tensor
    masses: dict[int, float]
    vibrations: Vibrations | None = None


def load_molecules(name: str, units: ForceUnits = "eV/angstrom") -> Molecules:
    """Return formaldehyde, or the molecules of a file.

    Args:
        name: ``formaldehyde``, 400 geometries by B3LYP/6-31G* of PySCF; or a file in extended XYZ,
            which ASE reads.
        units: of the forces of a file; its energies are in the first of both, its positions in
            angstrom.

    Raises:
        InvalidValueError: a file that is not that.
        TaskError: a file, but no ASE to read it.
    """
    if name == "formaldehyde":
        return _formaldehyde()
    energy_factor, force_factor = FACTORS[units]
    frames = _frames(name)
    most = max(len(frame) for frame in frames)
    atoms = np.zeros((len(frames), most, 4))
    energies, forces = np.zeros(len(frames)), np.zeros((len(frames), most, 3))
    for number, frame in enumerate(frames):
        where = f"frame {number + 1} of {name}"
        energies[number] = _result(frame, "energy", where) * energy_factor
        forces[number, : len(frame)] = _result(frame, "forces", where) * force_factor
        atoms[number, : len(frame), 0] = frame.numbers
        atoms[number, : len(frame), 1:] = _positions(frame, where)
    masses = {
        int(number): float(mass)
        for frame in frames
        for number, mass in zip(frame.numbers, frame.get_masses(), strict=True)
    }
    return Molecules(
        torch.from_numpy(atoms), torch.from_numpy(energies), torch.from_numpy(forces), masses
    )


def _formaldehyde() -> Molecules:
    given = read_arrays(str(files("actsearch_tasks") / "data" / "formaldehyde.npz"))
    arrays: dict[str, Any] = {key: array for key, array in given.items() if array is not None}
    numbers = torch.from_numpy(arrays["numbers"]).double()[:, None]

    def joined(positions: np.ndarray) -> Tensor:
        found = torch.from_numpy(positions)
        return torch.cat([numbers.expand(*found.shape[:-1], 1), found], -1)

    return Molecules(
        joined(arrays["positions"]),
        torch.from_numpy(arrays["energies"]),
        torch.from_numpy(arrays["forces"]),
        dict(zip(arrays["numbers"].tolist(), arrays["masses"].tolist(), strict=True)),
        Vibrations(joined(arrays["optimum"]), torch.from_numpy(arrays["frequencies"])),
    )


def _frames(path: str) -> list[Any]:
    try:
        from ase.io import read
    except ImportError:
        raise TaskError(
            f"reading {path} needs ase, which is not installed. Install it with"
            ' pip install "actsearch[chemistry]".'
        ) from None
    try:
        frames: Any = read(Path(path).expanduser(), index=":", format="extxyz")
    except Exception as error:  # ASE's reader fails in many ways
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InvalidValueError(
            f"{path} must be a file in extended XYZ, but reading it failed: {reason}. ASE converts"
            " others: ase convert."
        ) from None
    if not frames:
        raise InvalidValueError(f"{path} must have frames, but got none.")
    return list(frames)


def _result(frame: Any, what: str, where: str) -> Any:
    """Return energy or forces of a frame, as they were computed and not by a constraint."""
    results = {} if frame.calc is None else frame.calc.results
    if what not in results:
        known = [*results, *frame.info, *frame.arrays]
        raise InvalidValueError(
            f"{where} must have {what}, but got {', '.join(known)}. Name it so in the comment line."
        )
    if not np.isfinite(results[what]).all():
        raise InvalidValueError(f"{what} of {where} must be finite, but got NaN or inf.")
    return results[what]


def _positions(frame: Any, where: str) -> np.ndarray:
    if frame.pbc.any():
        raise InvalidValueError(
            f'{where} must be a molecule, but has periodic boundaries. Write pbc="F F F" where'
            " they mean nothing."
        )
    positions = frame.get_positions()
    if not np.isfinite(positions).all():
        raise InvalidValueError(f"positions of {where} must be finite, but got NaN or inf.")
    apart = frame.get_all_distances()[np.triu_indices(len(frame), 1)]
    if not len(apart) or apart.min() < CLOSEST:
        raise InvalidValueError(
            f"{where} must have at least two atoms, each {CLOSEST:g} angstrom from any other, but"
            f" got {min(apart, default=0):.3g}. Check the unit."
        )
    return np.asarray(positions)
