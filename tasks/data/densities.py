"""Data whose density is estimated: shapes in the plane, and tables without their labels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from actsearch.errors import UnknownNameError

from .tables import SKLEARN_TABLES, load_table

DISTINCT = 10
"""A column of fewer distinct values has no density: a flow would put an endless spike on each."""


def load_rows(data: str, samples: int, seed: int) -> Tensor:
    """Return rows to estimate the density of, float32 ``(N, D)``.

    Args:
        data: ``two_moons``, ``rings`` or ``checkerboard``, or one of scikit-learn's tables.
        samples: points to draw of a shape; a table has the rows that it has.
        seed: seed of the draw.

    Raises:
        UnknownNameError: none of these.
    """
    if data in SKLEARN_TABLES:
        x = load_table(data).x
        return torch.from_numpy(x[:, [len(np.unique(column)) >= DISTINCT for column in x.T]])
    if data not in SHAPES:
        raise UnknownNameError.among("data", data, (*SHAPES, *SKLEARN_TABLES))
    points = SHAPES[data](samples, np.random.default_rng(seed))
    return torch.from_numpy(points.astype(np.float32))


def two_moons(samples: int, draw: np.random.Generator) -> np.ndarray:
    """Return points of two half circles that reach into each other, with Gaussian noise."""
    angle = np.pi * draw.random(samples)
    lower = draw.random(samples) < 0.5
    x = np.where(lower, 1 - np.cos(angle), np.cos(angle))
    y = np.where(lower, 0.5 - np.sin(angle), np.sin(angle))
    return np.stack([x, y], 1) + 0.1 * draw.normal(size=(samples, 2))


def rings(samples: int, draw: np.random.Generator) -> np.ndarray:
    """Return points of three circles of radius 1, 2 and 3 about one centre, with Gaussian noise."""
    radius = draw.integers(1, 4, (samples, 1))
    angle = 2 * np.pi * draw.random(samples)
    circle: np.ndarray = np.stack([np.cos(angle), np.sin(angle)], 1)
    circle *= radius
    return circle + 0.08 * draw.normal(size=(samples, 2))


def checkerboard(samples: int, draw: np.random.Generator) -> np.ndarray:
    """Return points spread evenly over the eight dark squares of a board of four by four."""
    x = draw.integers(0, 4, samples)
    y = 2 * draw.integers(0, 2, samples) + x % 2
    corner: np.ndarray = np.stack([x, y], 1) - 2.0
    corner += draw.random((samples, 2))
    return corner


SHAPES = {"two_moons": two_moons, "rings": rings, "checkerboard": checkerboard}
