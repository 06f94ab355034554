"""One period of a sine, and the harmonics of a period."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sine(points: int, amplitude: float = 1.0) -> Tensor:
    """Return one period of a sine ``(points,)``, in float64."""
    phase = torch.arange(points, dtype=torch.float64) / points
    return amplitude * torch.sin(2 * math.pi * phase)


def harmonic_amplitudes(wave: Tensor, harmonics: int) -> Tensor:
    """Return the one-sided amplitudes ``(*, H)`` of harmonics 1 to H of periods ``(*, N)``.

    >>> [round(float(c), 6) for c in harmonic_amplitudes(5 + sine(64, 2.0), 2)]
    [2.0, 0.0]
    """
    spectrum: Tensor = torch.fft.rfft(wave)[..., 1 : harmonics + 1]
    return spectrum.abs().mul(2 / wave.shape[-1])
