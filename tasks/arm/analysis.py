"""What control engineers read off a step response and a linear loop."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

BAND = 0.02
"""Of the reference, within which a response has settled."""


def itae(error: Tensor, times: Tensor) -> Tensor:
    r"""Return the integral of time and absolute error of each response ``(N,)``.

    .. math:: \int_0^T t \, |e(t)| \, dt

    Args:
        error: relative to the reference, ``(N, T)``.
        times: ``(T,)``.

    References:
        The synthesis of optimum transient response: criteria and standard forms, D. Graham and
        R. Lathrop, 1953, https://doi.org/10.1109/TAI.1953.6371346
    """
    return torch.trapezoid(times * error.abs(), times)


def overshoot(error: Tensor) -> Tensor:
    """Return by how much each response goes beyond the reference ``(N,)``, relative to that."""
    return (-error).amax(1).clamp_min(0)


def settling_time(error: Tensor, times: Tensor) -> Tensor:
    """Return when each response is within 2 % for good ``(N,)``; the last time where never."""
    outside = ~(error.abs() <= BAND)
    last = len(times) - 1 - outside.flip(1).int().argmax(1)
    last = torch.where(outside.any(1), last, -1)
    return times[(last + 1).clamp_max(len(times) - 1)]


def fitted_poles(response: np.ndarray, interval: float, order: int) -> np.ndarray:
    r"""Return the poles of a sampled response, by Prony's method.

    Differences of a linear system's samples are a recursion of its order, whose roots are
    :math:`e^{s \Delta}`.

    Args:
        response: samples ``(T,)``.
        interval: :math:`\Delta` between them.
        order: number of poles.
    """
    d = np.diff(response)
    columns = np.stack([d[i : len(d) - order + i] for i in range(order)], 1)
    recursion = np.linalg.lstsq(columns, d[order:])[0]
    roots = np.roots(np.r_[1, -recursion[::-1]]).astype(complex)
    found: np.ndarray = np.log(roots[np.abs(roots) > 0]) / interval
    return found


def pole_distance(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return how far a pole is from the nearest fitted one at most, over the fastest's size."""
    distance = np.abs(found[None] - wanted[:, None]).min(1, initial=np.inf)
    return float(distance.max() / max(np.abs(wanted).max(), 1e-12))


def phase_margin(open_loop: np.ndarray, column: np.ndarray, control: np.ndarray) -> float:
    r"""Return the least phase in degrees that destabilises a loop where its gain is 1.

    .. math:: L(s) = -g (s I - A)^{-1} B, \qquad |L(i\omega)| = 1

    180, where the gain is 1 nowhere.

    Args:
        open_loop: A ``(n, n)``.
        column: B ``(n,)``.
        control: g ``(n,)``, u by the state.
    """
    sizes = np.abs(np.linalg.eigvals(open_loop + np.outer(column, control)))
    top = max(sizes.max(), 1e-12)
    omega = np.geomspace(1e-4 * top, 1e3 * top, 20_001)
    eye = np.eye(len(column))
    solved = np.linalg.solve(1j * omega[:, None, None] * eye - open_loop, column[:, None])
    loop = -(control @ solved)[:, 0]
    size = np.log(np.maximum(np.abs(loop), 1e-300))
    at = np.flatnonzero(np.sign(size[:-1]) != np.sign(size[1:]))
    if not len(at):
        return 180.0
    share = size[at] / (size[at] - size[at + 1])
    phase = np.unwrap(np.angle(loop))
    margins = 180 + np.rad2deg(phase[at] + share * (phase[at + 1] - phase[at]))
    margins = (margins + 180) % 360 - 180
    return float(margins[np.abs(margins).argmin()])
