"""Expectations under a normal distribution, exact on pieces: panels end where φ or φ' jumps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import cache

import torch
from torch import Tensor

DEVIATIONS = 12.0  # standard deviations; the tail beyond has a probability of 4e-33
PANELS = 96
LEGENDRE = {
    0.14887433898163122: 0.2955242247147528,
    0.4333953941292472: 0.2692667193099965,
    0.6794095682990244: 0.219086362515982,
    0.8650633666889845: 0.1494513491505804,
    0.9739065285171717: 0.06667134430868814,
}
"""Nodes and weights of Gauss-Legendre's rule of ten points on [-1, 1]: those above 0."""


@cache
def _legendre() -> tuple[Tensor, Tensor]:
    nodes = torch.tensor(list(LEGENDRE), dtype=torch.float64)
    weights = torch.tensor(list(LEGENDRE.values()), dtype=torch.float64)
    return torch.cat([-nodes.flip(0), nodes]), torch.cat([weights.flip(0), weights])


def normal_nodes(deviation: float = 1.0, splits: Iterable[float] = ()) -> tuple[Tensor, Tensor]:
    """Return points x and weights w such that Σ w f(x) is E[f(x)] for x ~ N(0, deviation²).

    Args:
        deviation: the standard deviation, in units of x.
        splits: points where f is not smooth; Gauss-Legendre panels end there.
    """
    edges = torch.linspace(-DEVIATIONS, DEVIATIONS, PANELS + 1, dtype=torch.float64)
    inner = [z for z in (split / deviation for split in splits) if -DEVIATIONS < z < DEVIATIONS]
    edges = torch.cat([edges, torch.tensor(inner, dtype=torch.float64)]).sort().values
    nodes, weights = _legendre()
    half = edges.diff()[:, None] / 2
    z = (edges[:-1, None] + half + half * nodes).flatten()
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    return z * deviation, (half * weights).flatten() * density


def gaussian_mean(
    function: Callable[[Tensor], Tensor], deviation: float = 1.0, splits: Iterable[float] = (0.0,)
) -> float:
    """Return E[f(x)] for x ~ N(0, deviation²).

    >>> round(gaussian_mean(torch.square, deviation=3.0), 12)
    9.0
    """
    x, weight = normal_nodes(deviation, splits)
    return float((function(x) * weight).sum())


def probability_below(level: float, x: Tensor, value: Tensor, deviation: float = 1.0) -> float:
    """Return P(f < level) for x ~ N(0, deviation²).

    f has these values at the points x, and is linear between them.
    """
    low, high = value[:-1], value[1:]
    crossing = ((level - low) / torch.where(high == low, 1.0, high - low)).clamp(0, 1)
    start, end = x[:-1], x[1:]
    middle = start + (end - start) * crossing
    below_first = torch.where(low < level, middle, start)
    left = torch.where(low < level, start, middle)
    right = torch.where(
        (low < level) & (high < level), end, torch.where(low < level, below_first, end)
    )
    inside = (low < level) | (high < level)
    measure = torch.special.ndtr(right / deviation) - torch.special.ndtr(left / deviation)
    return float(measure[inside].sum())


def probability_zero(x: Tensor, value: Tensor, deviation: float = 1.0) -> float:
    """Return P(f = 0) for x ~ N(0, deviation²): the cells at both of whose ends f is exactly 0."""
    flat = (value[:-1] == 0) & (value[1:] == 0)
    measure = torch.special.ndtr(x[1:] / deviation) - torch.special.ndtr(x[:-1] / deviation)
    return float(measure[flat].sum())
