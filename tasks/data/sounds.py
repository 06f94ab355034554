"""Sounds: periods of known wave forms, a valve stage, and WAV files."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from actsearch.errors import InvalidValueError, UnknownNameError

from .waves import sine

PARTIALS = 31
"""Harmonics of a wave form by name, and of a recorded tone."""

PEAK = 10 ** (-1 / 20)
"""Of a file that is written: -1 dB of full scale."""


def load_period(name: str, points: int, level: float) -> Tensor:
    """Return what a device puts out under one period of a sine, ``(points,)``.

    Args:
        name: ``12AX7``; or ``square``, ``triangle`` or ``saw``, by their Fourier series.
        points: of the period.
        level: amplitude of the sine, in volts; wave forms have the same at every level.

    Raises:
        UnknownNameError: none of these.
    """
    if name == "12AX7":
        return torch.from_numpy(triode(level * sine(points).numpy()))
    if name not in SERIES:
        raise UnknownNameError.among("target", name, (*SERIES, "12AX7"), "Or a WAV file.")
    return _partials({n: SERIES[name](n) for n in range(1, PARTIALS + 1)}, points)


def _partials(amplitudes: dict[int, complex], points: int) -> Tensor:
    """Return one period of a sum of sines; the argument of an amplitude is a phase."""
    phase = 2j * math.pi * torch.arange(points, dtype=torch.float64) / points
    waves = [(amplitude * torch.exp(n * phase)).imag for n, amplitude in amplitudes.items()]
    return torch.stack(waves).sum(0)


SERIES: dict[str, Callable[[int], complex]] = {
    "square": lambda n: n % 2 * 4 / (math.pi * n),
    "triangle": lambda n: n % 2 * (-1) ** (n // 2) * 8 / (math.pi * n) ** 2,
    "saw": lambda n: (-1) ** (n + 1) * 2 / (math.pi * n),
}
"""By name the amplitude of each sine of a Fourier series."""


def triode(grid: np.ndarray) -> np.ndarray:
    r"""Return the plate voltage of a 12AX7 stage: 300 V over 100 kΩ, grid biased at -1.5 V.

    .. math:: E = \frac{V}{K_P} \ln\Big(1 + \exp\big(K_P (1/\mu + V_g / \sqrt{K_{VB} + V^2})\big)
              \Big), \qquad I = 2 E_+^X / K_{G1} = (300 - V) / R

    Args:
        grid: volts around the bias, ``(N,)``.

    References:
        Improved vacuum tube models for SPICE simulations, N. Koren, 1996, Glass Audio 8(5)
    """
    from scipy.optimize import brentq

    µ, exponent, kg, kp, kvb, supply, load = 100, 1.4, 1060, 600, 300, 300.0, 1e5

    def excess(plate: float, at: float) -> float:
        inner = plate / kp * np.logaddexp(0, kp * (1 / µ + at / math.sqrt(kvb + plate**2)))
        return float((supply - plate) / load - 2 * inner**exponent / kg)

    return np.array([brentq(excess, 0.0, supply, args=(v - 1.5,), xtol=1e-12) for v in grid])


def read_wav(path: str) -> tuple[int, Tensor]:
    """Return the sample rate of a WAV file, and its samples in [-1, 1], in float64.

    Raises:
        InvalidValueError: no WAV file, or one of several channels.
    """
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks of other programs
            rate, samples = wavfile.read(Path(path).expanduser())
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InvalidValueError(
            f"{path} must be a WAV file, but reading it failed: {reason}."
        ) from None
    if samples.ndim > 1:
        raise InvalidValueError(
            f"{path} must have one channel, but got {samples.shape[1]}. Mix it down first."
        )
    kind = samples.dtype
    values = samples.astype(np.float64)
    if kind == np.uint8:
        values = values / 128 - 1
    elif kind.kind == "i":
        values = values / 2.0 ** (8 * kind.itemsize - 1)
    if not np.isfinite(values).all() or not values.any():
        raise InvalidValueError(
            f"{path} must hold finite samples, not all 0, but got {values[:3]}."
        )
    return int(rate), torch.from_numpy(values)


def read_pair(dry: str, wet: str) -> tuple[int, Tensor, Tensor]:
    """Return the sample rate and the samples of two WAV files, of what went in and came out.

    Raises:
        InvalidValueError: no WAV files, or of different rates or lengths.
    """
    (rate, x), (other, y) = read_wav(dry), read_wav(wet)
    if rate != other or len(x) != len(y):
        raise InvalidValueError(
            f"target must have the rate and length of input, {rate} Hz and {len(x)} samples, but"
            f" got {other} Hz and {len(y)}. Resample or cut it."
        )
    return rate, x, y


def write_wav(path: Path, rate: int, samples: Tensor) -> None:
    """Write samples ``(N,)`` without their mean as 16 bits, the highest at -1 dB of full scale."""
    from scipy.io import wavfile

    values = (samples - samples.mean()).double().numpy()
    scaled = values * PEAK / max(np.abs(values).max(), 1e-12)
    wavfile.write(path, rate, np.round(scaled * 32767).astype(np.int16))


def read_tone(path: str, frequency: float, points: int, parts: int) -> tuple[int, Tensor]:
    """Return the sample rate of a recorded tone, and one period of each part ``(parts, points)``.

    Each part in time is taken apart into the tone's harmonics by least squares, which needs no
    whole number of periods, and turned so that its fundamental begins as a sine does.

    Args:
        path: of the WAV file.
        frequency: of the tone in Hz.
        points: of a period.
        parts: of the file, of equal length.

    Raises:
        InvalidValueError: no WAV file, too short a part, or nothing at that frequency.
    """
    rate, samples = read_wav(path)
    length = len(samples) // parts
    count = min(PARTIALS, math.ceil(rate / (2 * frequency)) - 1)
    if count < 2 or length < 10 * rate / frequency:
        raise InvalidValueError(
            f"frequency must be below {rate / 4:g} Hz, and {path} hold {10 * parts} periods of it,"
            f" but got {frequency:g} Hz and {len(samples) * frequency / rate:.3g} periods."
        )
    angle = 2 * math.pi * frequency / rate * torch.arange(length, dtype=torch.float64)[:, None]
    angles = angle * torch.arange(1, count + 1, dtype=torch.float64)
    basis = torch.cat([torch.ones(length, 1), angles.sin(), angles.cos()], 1)
    chunks = samples[: parts * length].view(parts, length).T
    found = torch.linalg.lstsq(basis, chunks).solution.T
    amplitudes = torch.complex(found[:, 1 : count + 1], found[:, count + 1 :])
    power = 0.5 * amplitudes.abs().square().sum(1)
    if (amplitudes[:, 0].abs().square() < 1e-3 * chunks.T.var(1)).any():
        raise InvalidValueError(
            f"{path} must hold a tone of {frequency:g} Hz, but only"
            f" {float((power / chunks.T.var(1)).min()):.2g} of its power lies at its harmonics."
        )
    periods = []
    for row in amplitudes:
        turn = row[0].conj() / row[0].abs()
        turned = {n: complex(value * turn**n) for n, value in enumerate(row, 1)}
        periods.append(_partials(turned, points))
    return rate, torch.stack(periods)
