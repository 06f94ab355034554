"""On which range an activation and its derivative stay finite in a number format."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from actsearch.activations.base import Activation
from actsearch.activations.properties.breaks import derivatives

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def safe_range(start: Activation) -> dict[str, float]:
    """Return by dtype the largest R such that value and derivative are finite on [-R, R].

    Points are a quarter of an octave apart, then close in on the first failure.

    Args:
        start: the activation at fixed parameter values, in evaluation mode.
    """
    return {name: _range(start, dtype) for name, dtype in DTYPES.items()}


def _range(start: Activation, dtype: torch.dtype) -> float:
    largest = torch.finfo(dtype).max
    octaves = torch.arange(-20, math.log2(largest), 0.25, dtype=torch.float64)
    radii = torch.cat(
        [torch.zeros(1, dtype=torch.float64), torch.exp2(octaves), torch.tensor([largest]).double()]
    )
    for _ in range(3):
        finite = _finite(start, radii, dtype)
        if bool(finite.all()):
            return float(radii[-1].to(dtype))
        first = int(finite.logical_not().nonzero()[0])
        if first == 0:
            return 0.0
        radii = torch.linspace(
            float(radii[first - 1]), float(radii[first]), 33, dtype=torch.float64
        )
    return float(radii[0].to(dtype))


def _finite(start: Activation, radii: Tensor, dtype: torch.dtype) -> Tensor:
    """Return for every radius whether value and derivative are finite at both ends."""
    x = torch.stack([radii, -radii]).to(dtype)
    value, slope = derivatives(start, x, 1)
    return (value.isfinite() & slope.isfinite()).all(dim=0)
