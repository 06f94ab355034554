"""Friction force over velocity: the LuGre model at steady state, or a CSV file."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from actsearch.errors import InvalidValueError

from .columns import read_columns, read_header

FEWEST_FORCES = 20
"""Rows of a measurement, at least."""


@dataclass(frozen=True)
class SteadyLuGre:
    r"""Friction at constant velocity by the LuGre model, with the constants of its paper.

    .. math:: F(v) = \operatorname{sgn}(v) \left(F_c + (F_s - F_c) e^{-(v/v_s)^2}\right) + b v

    Args:
        coulomb: :math:`F_c`, N.
        static: :math:`F_s`, N, the force that breaks a contact away.
        stribeck: :math:`v_s`, m/s, the velocity at which it has fallen to Coulomb's.
        viscous: b, N s/m.

    References:
        A new model for control of systems with friction, C. Canudas de Wit, H. Olsson, K. Åström
        and P. Lischinsky, 1995, https://doi.org/10.1109/9.376053
    """

    coulomb: float = 1.0
    static: float = 1.5
    stribeck: float = 1e-3
    viscous: float = 0.4

    def force(self, velocity: Tensor) -> Tensor:
        """Return the force against the motion, in N."""
        dip = (self.static - self.coulomb) * torch.exp(-(velocity / self.stribeck).square())
        return velocity.sign() * (self.coulomb + dip) + self.viscous * velocity

    def measure(self, span: float, samples: int, noise: float, seed: int) -> tuple[Tensor, Tensor]:
        """Return velocities, evenly on [-span, span], and the forces with Gaussian noise."""
        velocity = torch.linspace(-span, span, samples, dtype=torch.float64)
        generator = torch.Generator().manual_seed(seed)
        errors = torch.randn(samples, generator=generator, dtype=torch.float64)
        return velocity, self.force(velocity) + noise * errors


def read_forces(path: str) -> tuple[Tensor, Tensor, bool]:
    """Return velocity and force of a CSV file, and whether the rows follow each other in time.

    Args:
        path: columns velocity and force and, of a trajectory, time.

    Raises:
        InvalidValueError: a file that is not that, too few rows, velocities that do not vary, times
            that do not rise, or a force that drives the motion.
    """
    timed = "time" in read_header(path)
    *time, velocity, force = read_columns(path, [*["time"] * timed, "velocity", "force"])
    if len(force) < FEWEST_FORCES:
        raise InvalidValueError(
            f"{path} must have at least {FEWEST_FORCES} rows, but got {len(force)}."
        )
    if timed and not (time[0].diff() > 0).all():
        first = int((time[0].diff() <= 0).nonzero()[0]) + 3
        raise InvalidValueError(f"time of {path} must rise, but does not in line {first}.")
    if not velocity.std() > 0:
        raise InvalidValueError(
            f"velocity of {path} must vary, but got {float(velocity[0]):g} in all rows."
        )
    power = float((velocity * force).mean())
    if not power > 0:
        raise InvalidValueError(
            f"force of {path} must be that against the motion, which takes power, but its mean"
            f" power is {power:g}. Turn its sign, and take off what drives or accelerates."
        )
    return velocity, force, timed
