"""The harmonics of a periodic wave."""

from __future__ import annotations

import torch
from torch import Tensor

from actsearch.errors import InvalidValueError

FLOOR = 1e-20
"""Least amplitude over that of the fundamental: -400 dB."""


def harmonic_amplitudes(wave: Tensor, n: int, periods: int = 1) -> Tensor:
    """Return the one-sided amplitudes ``(*, n)`` of harmonics 1 to n of waves ``(*, T)``.

    Args:
        wave: samples of whole periods.
        n: number of harmonics.
        periods: whole periods in the wave.

    >>> t = torch.arange(64, dtype=torch.float64) / 64
    >>> [round(float(c), 6) for c in harmonic_amplitudes(5 + 2 * (2 * torch.pi * t).sin(), 2)]
    [2.0, 0.0]
    """
    spectrum: Tensor = torch.fft.rfft(wave)[..., periods : n * periods + 1 : periods]
    return spectrum.abs().mul(2 / wave.shape[-1])


def harmonics(wave: Tensor, n: int, periods: int = 1) -> Tensor:
    r"""Return the levels of the first harmonics of a wave in decibels to the fundamental.

    .. math:: 20 \log_{10} \frac{|c_k|}{|c_1|}, \quad
              c_k = \sum_t x_t e^{-2 \pi i k P t / T}, \quad k = 1, \ldots, n

    of T samples that are P whole periods: of any other length a Fourier transform leaks. It can be
    trained; levels end at -400.

    Shapes:
        ``(*, T)`` with T > 2nP; the result is ``(*, n)`` and begins with 0, the fundamental.

    Args:
        wave: samples, evenly in time, in double precision for levels below -120.
        n: number of harmonics, at least 1.
        periods: P, whole periods in the wave, at least 1.

    Raises:
        InvalidValueError: no harmonic or period, too few samples, or a wave without a fundamental.

    >>> t = torch.arange(64, dtype=torch.float64) / 64
    >>> wave = (2 * torch.pi * t).sin() + 0.1 * (6 * torch.pi * t).cos()
    >>> harmonics(wave, 3).round().tolist()[::2]
    [0.0, -20.0]
    """
    samples = wave.shape[-1]
    if min(n, periods) < 1 or samples <= 2 * n * periods:
        raise InvalidValueError(
            "n and periods must be at least 1, with more than 2 n periods samples, but got"
            f" {n=}, {periods=} and {samples} samples."
        )
    amplitudes = harmonic_amplitudes(wave, n, periods)
    fundamental = amplitudes[..., :1]
    size = 2 * wave.detach().abs().amax(-1, keepdim=True)
    if not bool((fundamental > torch.finfo(wave.dtype).eps * size).all()):
        raise InvalidValueError(
            f"the wave must have a fundamental of {periods} periods, but got amplitudes of"
            f" {float(fundamental.min()):.3g} in a wave of {float(wave.detach().abs().amax()):.3g}."
        )
    levels: Tensor = 20 * (amplitudes / fundamental).clamp_min(FLOOR).log10()
    return levels
