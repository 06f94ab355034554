"""One period of a sine."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sine(points: int, amplitude: float = 1.0) -> Tensor:
    """Return one period of a sine ``(points,)``, in float64."""
    phase = torch.arange(points, dtype=torch.float64) / points
    return amplitude * torch.sin(2 * math.pi * phase)
