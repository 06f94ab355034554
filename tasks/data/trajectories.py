"""Trajectories of a state over time: a chain of reactions, or a CSV file, in pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from actsearch.errors import InvalidValueError

from .columns import read_columns, read_header

FEWEST = 10
"""Pieces of a recording, at least: some to train on, some to validate and to test."""


@dataclass(frozen=True)
class Trajectories:
    """Pieces of trajectories, each with times of its own.

    Args:
        times: since a piece began, the first is 0, ``(N, T)``.
        states: ``(N, T, D)``.
        names: of the states.
    """

    times: Tensor
    states: Tensor
    names: tuple[str, ...]


def reaction_chain(
    rates: Sequence[float], pieces: int, points: int, horizon: float, seed: int
) -> Trajectories:
    r"""Return concentrations of a chain of first-order reactions, A → B → C → out, exactly.

    .. math:: \dot x_1 = -k_1 x_1, \qquad \dot x_i = k_{i-1} x_{i-1} - k_i x_i

    Args:
        rates: k of each species, one over a unit of time.
        pieces: trajectories, from starts in [0, 1] by seed.
        points: times of each, evenly spaced from 0.
        horizon: the last time.
        seed: of the starts.
    """
    k = torch.tensor(rates, dtype=torch.float64)
    matrix = torch.diag(-k) + torch.diag(k[:-1], -1)
    generator = torch.Generator().manual_seed(seed)
    starts = torch.rand(pieces, len(k), generator=generator, dtype=torch.float64)
    times = torch.linspace(0, horizon, points, dtype=torch.float64)
    flows = torch.linalg.matrix_exp(matrix * times[:, None, None])
    states = torch.einsum("tij,nj->nti", flows, starts)
    names = tuple(chr(ord("A") + i) for i in range(len(k)))
    return Trajectories(times.repeat(pieces, 1), states, names)


def read_trajectory(path: str, points: int) -> Trajectories:
    """Return a recorded trajectory in pieces that follow one another.

    Each piece begins where the one before it ended. Times need not be evenly spaced; what does not
    fill a last piece is left out.

    Args:
        path: CSV file with a column t and one for each state, of any names.
        points: of a piece, at least 2.

    Raises:
        InvalidValueError: a file that is not that, times that do not rise, a state that does not
            vary, or too few lines.
    """
    # Without a state there is one to miss.
    names = tuple(name for name in read_header(path) if name != "t") or ("x1",)
    time, *columns = read_columns(path, ("t", *names))
    states = torch.stack(columns, 1)
    if not (time.diff() > 0).all():
        line = int((time.diff() <= 0).nonzero()[0]) + 3
        raise InvalidValueError(f"t of {path} must rise, but does not in line {line}.")
    pieces = (len(time) - 1) // (points - 1)
    if pieces < FEWEST:
        raise InvalidValueError(
            f"{path} must have at least {FEWEST * (points - 1) + 1} lines, {FEWEST} pieces of"
            f" {points}, but got {len(time)}. Take shorter pieces by points."
        )
    for name, column in zip(names, columns, strict=True):
        if not column.std() > 0:
            raise InvalidValueError(
                f"{name} of {path} must vary, but is {float(column[0]):g} at all times."
            )
    rows = (points - 1) * torch.arange(pieces)[:, None] + torch.arange(points)
    return Trajectories(time[rows] - time[rows[:, :1]], states[rows], names)
