"""Where an equation holds, and where its solution is prescribed or was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from actsearch.errors import InvalidValueError
from actsearch.task.tensors import Batch

from ..data.columns import read_columns
from .problem import Problem

INTERIOR, CONDITION, MEASURED = 0, 1, 2
"""What is known at a point: the equation, a condition, a measured value."""

Sampling = Literal["sobol", "grid", "uniform"]
Bounds = Sequence[tuple[float, float]]


def points_of(problem: Problem, inside: Tensor, faces: Tensor, measured: Tensor) -> Batch:
    """Return points ``(N, inputs)``, values there, NaN where free, and what is known ``(N,)``.

    Args:
        problem: whose exact solution, where it is known, is the value inside.
        inside: points of the box.
        faces: points that conditions are asked for.
        measured: rows of inputs and outputs.

    Raises:
        InvalidValueError: values of another shape.
    """
    inputs, outputs = len(problem.inputs), len(problem.outputs)
    exact = problem.exact(inside)
    free = torch.full((len(inside), outputs), torch.nan, dtype=torch.float64)
    pairs = [(inside, free if exact is None else exact), *problem.conditions(faces)]
    for number, (x, g) in enumerate(pairs):
        if x.shape != (len(x), inputs) or g.shape != (len(x), outputs):
            raise InvalidValueError(
                f"{'conditions' if number else 'exact'} of {type(problem).__name__} must have"
                f" points (K, {inputs}) and values (K, {outputs}), but got {tuple(x.shape)} and"
                f" {tuple(g.shape)}."
            )
    pairs.append((measured[:, :inputs], measured[:, inputs:]))
    kinds = [INTERIOR, *[CONDITION] * (len(pairs) - 2), MEASURED]
    known = [torch.full((len(x),), kind) for (x, _), kind in zip(pairs, kinds, strict=True)]
    points, values = zip(*pairs, strict=True)
    return torch.cat(points), torch.cat(values), torch.cat(known)


def read_measured(path: str, problem: Problem) -> Tensor:
    """Return rows of inputs and outputs from a CSV file with these columns.

    Raises:
        InvalidValueError: a file that is not that, or points outside of the problem's box.
    """
    rows = torch.stack(read_columns(path, (*problem.inputs, *problem.outputs)), 1)
    for name, column, (low, high) in zip(problem.inputs, rows.T, problem.bounds, strict=False):
        outside = column[(column < low) | (column > high)]
        if len(outside):
            raise InvalidValueError(
                f"{name} of {path} must lie in its bounds, {low:g} to {high:g}, but got"
                f" {float(outside[0]):g}. Check the unit."
            )
    return rows


def interior_points(
    sampling: Sampling, bounds: Bounds, count: int, generator: torch.Generator
) -> Tensor:
    """Return points in a box ``(N, D)``, in float64.

    Args:
        sampling: ``sobol``, a scrambled Sobol sequence; ``grid``, the middles of equal cells, of
            about ``count``; or ``uniform``, at random.
        bounds: of each input.
        count: how many.
        generator: of what is random.
    """
    if sampling == "grid":
        return cell_middles(bounds, round(count ** (1 / len(bounds))))
    if sampling == "sobol":
        seed = int(torch.randint(2**31, (), generator=generator))
        engine = torch.quasirandom.SobolEngine(len(bounds), scramble=True, seed=seed)
        unit = engine.draw(count, dtype=torch.float64)
    else:
        unit = torch.rand(count, len(bounds), dtype=torch.float64, generator=generator)
    low, high = torch.tensor(bounds, dtype=torch.float64).unbind(1)
    return low + (high - low) * unit


def cell_middles(bounds: Bounds, side: int) -> Tensor:
    """Return the middles of the cells of a box that is cut into ``side`` parts along each input."""
    middles = (torch.arange(side, dtype=torch.float64) + 0.5) / side
    axes = [low + (high - low) * middles for low, high in bounds]
    return torch.cartesian_prod(*axes).view(-1, len(bounds))


def face_points(
    sampling: Sampling, bounds: Bounds, count: int, generator: torch.Generator
) -> Tensor:
    """Return points on the faces of a box ``(M, D)``, about as many on each, ``count`` in all."""
    share = max(1, count // (2 * len(bounds)))
    faces = []
    for place, ends in enumerate(bounds):
        others = [*bounds[:place], *bounds[place + 1 :]]
        for end in ends:
            if others:
                inner = interior_points(sampling, others, share, generator)
            else:
                inner = torch.empty(1, 0, dtype=torch.float64)
            fixed = torch.full((len(inner), 1), end, dtype=torch.float64)
            faces.append(torch.cat([inner[:, :place], fixed, inner[:, place:]], 1))
    return torch.cat(faces)
