"""What becomes of a potential in use: along a path, as vibrations, in dynamics.

In eV, angstrom, femtoseconds and unified atomic mass units; kelvin and cm⁻¹.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Evaluate = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Maps atoms ``(N, A, 4)`` to energies ``(N,)`` and forces ``(N, A, 3)``."""

BOLTZMANN = 8.617333262e-5
ACCELERATION = 9.648533212e-3
"""Angstrom / fs² of one eV / angstrom on one mass unit."""

WAVE_NUMBER = 521.470898
"""In cm⁻¹ of one sqrt(eV / (angstrom² u))."""

STRETCH = 0.05
"""Share by which the path makes a molecule smaller and larger."""

COARSER = 10
"""Steps of the path that are taken as one, to compare."""

DISPLACEMENT = 1e-3
"""Of an atom, either way, for a second derivative."""

GEOMETRIES = 1000
"""Geometries that are evaluated at once."""


def stretched(atoms: Tensor, steps: int) -> Tensor:
    """Return a molecule ``(A, 4)`` from 0.95 to 1.05 of its size, ``(steps + 1, A, 4)``."""
    kinds, positions = atoms[:, :1], atoms[:, 1:]
    scale = torch.linspace(1 - STRETCH, 1 + STRETCH, steps + 1).to(atoms)[:, None, None]
    centre = positions.mean(0)
    path = centre + scale * (positions - centre)
    return torch.cat([kinds.expand(len(path), -1, -1), path], -1)


def forces_along(evaluate: Evaluate, path: Tensor) -> Tensor:
    """Return the forces on the atoms of each geometry of a path ``(K, A, 4)``."""
    return torch.cat([evaluate(part)[1] for part in path.split(GEOMETRIES)])


def force_jumps(forces: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest change of a force from one geometry of a path to the next, and its ratio.

    The ratio is that at ten times the step over it: 10 where the forces are continuous and steps
    small, 1 where they jump.
    """
    fine, coarse = (f.diff(dim=0).abs().max() for f in (forces, forces[::COARSER]))
    return fine, coarse / fine


def hessian(evaluate: Evaluate, atoms: Tensor) -> Tensor:
    """Return the second derivatives of the energy of a molecule ``(A, 4)``, ``(3A, 3A)``.

    By central differences of the forces.
    """
    count = 3 * len(atoms)
    moved = torch.zeros(count, len(atoms), 4).to(atoms)
    moved[:, :, 1:] = DISPLACEMENT * torch.eye(count).to(atoms).view(count, -1, 3)
    ahead, behind = (evaluate(atoms + way * moved)[1].flatten(1) for way in (1, -1))
    slope = (behind - ahead) / (2 * DISPLACEMENT)
    return (slope + slope.T) / 2


def vibrations(hessian: Tensor, positions: Tensor, masses: Tensor) -> Tensor:
    r"""Return the harmonic frequencies of a molecule, rising; an imaginary one is negative.

    .. math:: \omega^2 v = M^{-1/2} H M^{-1/2} v

    Motions of the whole, by which it is moved or turned, are left out exactly.

    Args:
        hessian: H, ``(3A, 3A)``.
        positions: ``(A, 3)``.
        masses: ``(A,)``.
    """
    root = masses.sqrt()[:, None]
    centred = positions - (masses[:, None] * positions).sum(0) / masses.sum()
    axes = torch.eye(3).to(positions)[:, None].expand(-1, len(positions), -1)
    turned = torch.linalg.cross(axes, centred.expand_as(axes))
    whole, sizes, _ = torch.linalg.svd((root * torch.cat([axes, turned])).flatten(1).T)
    inner = whole[:, int((sizes > 1e-6 * sizes[0]).sum()) :]
    weights = root.expand(-1, 3).flatten()
    values = torch.linalg.eigvalsh(inner.T @ (hessian / torch.outer(weights, weights)) @ inner)
    found: Tensor = WAVE_NUMBER * values.sign() * values.abs().sqrt()
    return found


def energy_in_dynamics(
    evaluate: Evaluate, atoms: Tensor, masses: Tensor, steps: int, step: float, temperature: float
) -> Tensor:
    """Return the total energy of a molecule ``(A, 4)`` that moves freely, ``(steps + 1,)``.

    By velocity Verlet, from velocities of a temperature, which are the same in every call. Exact
    dynamics keep the energy; where forces jump, these do not.

    References:
        Computer "experiments" on classical fluids, L. Verlet, 1967,
        https://doi.org/10.1103/PhysRev.159.98
    """
    masses = masses[:, None]
    generator = torch.Generator().manual_seed(0)
    random = torch.randn(len(atoms), 3, generator=generator, dtype=torch.float64).to(atoms)
    velocity = (BOLTZMANN * temperature * ACCELERATION / masses).sqrt() * random
    velocity = velocity - (masses * velocity).sum(0) / masses.sum()
    kinds, positions = atoms[:, :1], atoms[:, 1:]
    energies = []
    energy, forces = evaluate(atoms[None])
    for number in range(steps + 1):
        kinetic = (masses * velocity.square()).sum() / (2 * ACCELERATION)
        energies.append(energy[0] + kinetic)
        if number < steps:
            half = velocity + step / 2 * ACCELERATION * forces[0] / masses
            positions = positions + step * half
            energy, forces = evaluate(torch.cat([kinds, positions], 1)[None])
            velocity = half + step / 2 * ACCELERATION * forces[0] / masses
    return torch.stack(energies)
