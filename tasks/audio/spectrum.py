"""Harmonics of a period, and the tones that sampling adds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

QUIETEST = 1e-6
"""Amplitude, of the fundamental, below which harmonics are not told apart: -120 dB."""

QUIETEST_RECORDED = 1e-3
"""Likewise of a recording, of its strongest frequency: -60 dB, where noise begins."""

BUFFER = 4800
"""Samples of the buffer that aliasing is measured on."""

TONE_PERIODS = 500
"""Of the tone in it: 5 kHz at 48 kHz."""


def levels(found: Tensor) -> Tensor:
    """Return amplitudes ``(*, H)`` in dB of the first, not below the floor."""
    relative = found / found[..., :1].clamp_min(1e-300)
    decibels: Tensor = relative.square().add(QUIETEST**2).log10().mul(10)
    return decibels


def spectrum_levels(wave: Tensor) -> Tensor:
    """Return the mean spectrum of segments ``(N, T)`` in dB of its strongest frequency."""
    window = torch.hann_window(wave.shape[1], dtype=wave.dtype, device=wave.device)
    power = torch.fft.rfft(window * wave).abs().square().mean(0)[2:]
    relative: Tensor = power / power.max().clamp_min(1e-300)
    return relative.add(QUIETEST_RECORDED**2).log10().mul(10)


def spectrum_difference(found: Tensor, wanted: Tensor) -> Tensor:
    """Return by how many dB mean spectra of segments differ, down to -60 dB."""
    return spectrum_levels(found) - spectrum_levels(wanted)


def oversampled(
    shape: Callable[[Tensor], Tensor], samples: Tensor, factor: int, *, periodic: bool = False
) -> Tensor:
    """Run samples ``(N,)`` through a distortion at a multiple of their rate.

    Half-band filters of 64 zero crossings keep what lies above half the rate out, both ways.

    Args:
        shape: maps ``(1, N)`` to ``(1, N)``.
        samples: at their own rate.
        factor: the multiple; 1 leaves the filters out.
        periodic: whether the samples are whole periods.
    """
    from scipy.signal import firwin, resample_poly

    if factor == 1:
        return shape(samples[None])[0]
    window = firwin(128 * factor + 1, 0.95 / factor, window=("kaiser", 10.0))
    padding = "wrap" if periodic else "constant"

    def resample(values: Tensor, up: int, down: int) -> Tensor:
        given = values.detach().cpu().numpy()
        found = resample_poly(given, up, down, window=window, padtype=padding)
        return torch.from_numpy(np.asarray(found)).to(values)

    return resample(shape(resample(samples, factor, 1)[None])[0], 1, factor)[: len(samples)]


def alias_level(shape: Callable[[Tensor], Tensor], level: float, factor: int) -> Tensor:
    """Return how strong tones are that are no harmonics, in dB of the fundamental.

    The tone is 5 kHz where the rate is 48 kHz, in whole periods.

    Args:
        shape: maps ``(1, N)`` to ``(1, N)``.
        level: amplitude of the tone.
        factor: of oversampling.
    """
    phase = TONE_PERIODS * torch.arange(BUFFER, dtype=torch.float64) / BUFFER
    tone = level * torch.sin(2 * torch.pi * phase)
    power = torch.fft.rfft(oversampled(shape, tone, factor, periodic=True)).abs().square()
    own = torch.arange(len(power)) % TONE_PERIODS == 0
    decibels: Tensor = power[~own].sum().div(power[TONE_PERIODS]).add(QUIETEST**2).log10().mul(10)
    return decibels
