"""Fields that change in time: heat and Burgers' equation on a ring, or an ``.npz`` file."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from actsearch.errors import InvalidValueError, UnknownNameError

from .tables import read_arrays

EQUATIONS = {"heat": (0.01, 0.02, 0.0), "burgers": (0.02, 0.01, 1.0)}
"""By name the viscosity ν, the time between states, and the factor of u u_x."""

MODES = 5
"""Waves that a start is made of."""

SUBSTEPS = 4
"""Steps of the integration between two states; heat needs none."""

FEWEST_POINTS, FEWEST_TIMES = 4, 3
"""Of a file, along each axis and in time."""


def load_evolution(name: str, runs: int, times: int, points: int, seed: int) -> Tensor:
    """Return trajectories of a periodic field ``(runs, times, *points)``, in float64.

    Args:
        name: ``heat`` or ``burgers``; or an ``.npz`` file with an array u of that shape, of one or
            two dimensions in space.
        runs: trajectories of a named equation.
        times: states of each.
        points: on the ring, of length 1.
        seed: of the starts.

    Raises:
        UnknownNameError: neither a known name nor a file.
        InvalidValueError: a file that is not that.
    """
    if name.endswith(".npz"):
        return read_evolution(name)
    if name not in EQUATIONS:
        raise UnknownNameError.among("equation", name, EQUATIONS, "Or an .npz file.")
    start = random_waves(runs, points, np.random.default_rng(seed))
    return torch.from_numpy(evolve(start, times, *EQUATIONS[name]))


def random_waves(runs: int, points: int, random: np.random.Generator) -> np.ndarray:
    """Return sums of waves of 1 to 5 periods, amplitudes and phases drawn, ``(runs, points)``."""
    x = np.arange(points) / points
    k = np.arange(1, MODES + 1)[:, None]
    amplitude = random.normal(size=(runs, MODES, 1)) / math.sqrt(MODES)
    phase = 2 * math.pi * random.uniform(size=(runs, MODES, 1))
    waves: np.ndarray = (amplitude * np.sin(2 * math.pi * k * x + phase)).sum(1)
    return waves


def evolve(
    start: np.ndarray, times: int, viscosity: float, step: float, transport: float
) -> np.ndarray:
    r"""Return the states of :math:`u_t + c u u_x = \nu u_{xx}` on a ring of length 1.

    By Fourier modes of which a third is left out of products (dealiasing), and Runge's and Kutta's
    fourth-order rule with an integrating factor, which is exact without transport.

    Args:
        start: states ``(runs, points)``.
        times: states to return, the start included.
        viscosity: :math:`\nu`.
        step: between states.
        transport: c.

    References:
        Fourth-order time-stepping for stiff PDEs, A.-K. Kassam and L. Trefethen, 2005,
        https://doi.org/10.1137/S1064827502410633
    """
    points = start.shape[1]
    waves = 2 * math.pi * np.arange(points // 2 + 1)
    kept = np.arange(points // 2 + 1) <= points // 3
    h = step / SUBSTEPS
    half = np.exp(-viscosity * waves**2 * h / 2)

    def slope(v: np.ndarray) -> np.ndarray:
        u = np.fft.irfft(v, points)
        found: np.ndarray = -0.5j * transport * waves * kept * np.fft.rfft(u * u)
        return found

    v, states = np.fft.rfft(start), [start]
    for _ in range(times - 1):
        for _ in range(SUBSTEPS):
            a = slope(v)
            b = slope(half * (v + h / 2 * a))
            c = slope(half * v + h / 2 * b)
            d = slope(half**2 * v + h * half * c)
            v = half**2 * (v + h / 6 * a) + h / 3 * half * (b + c) + h / 6 * d
        states.append(np.fft.irfft(v, points))
    return np.stack(states, 1)


def read_evolution(path: str) -> Tensor:
    """Return the array u of an ``.npz`` file; :func:`load_evolution` says which, and raises."""
    arrays = read_arrays(path, {"u"})
    u = arrays.get("u")
    if u is None or u.dtype.kind not in "fiu":
        raise InvalidValueError(
            f"{path} must hold an array of numbers u, but got {', '.join(arrays) or 'none'}."
        )
    large = u.ndim in (3, 4) and u.shape[1] >= FEWEST_TIMES and min(u.shape[2:]) >= FEWEST_POINTS
    if not large:
        raise InvalidValueError(
            f"u of {path} must have runs, at least {FEWEST_TIMES} times, and at least"
            f" {FEWEST_POINTS} points along one or two axes, but got shape {u.shape}."
        )
    if not np.isfinite(u).all():
        raise InvalidValueError(f"u of {path} must be finite, but got NaN or inf.")
    if not (u[:, 1:] != u[:, :-1]).any():
        raise InvalidValueError(f"u of {path} must change in time, but all states are the first.")
    return torch.from_numpy(u).double()
