"""Spike counts of a neuron beside its stimulus: simulated, or from CSV files."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from actsearch.errors import InvalidValueError

from .columns import read_columns
from .waves import sine

FEWEST = 10
"""Bins of a recording, at least."""


@dataclass(frozen=True)
class Recording:
    """What a neuron was shown and how it fired, in bins of time.

    Args:
        stimulus: in any unit ``(N,)``.
        rate: spikes per second and trial ``(N,)``.
        exposure: seconds that each bin was watched, over all trials.
    """

    stimulus: Tensor
    rate: Tensor
    exposure: float


@dataclass(frozen=True)
class LeakyNeuron:
    r"""A neuron of which all is known, under a sine: r(t) = r₀ + k φ(A sin ωt), φ a Leaky ReLU.

    Args:
        r0: rate at rest :math:`r_0`, per second.
        gain: k.
        amplitude: A of the stimulus.
        slope: :math:`\alpha` of the Leaky ReLU.

    References:
        Theoretical Neuroscience, P. Dayan and L. Abbott, 2001
    """

    r0: float
    gain: float
    amplitude: float
    slope: float

    def rate(self, stimulus: Tensor) -> Tensor:
        """Return the rate under a stimulus."""
        return self.r0 + self.gain * torch.where(stimulus > 0, stimulus, self.slope * stimulus)

    def amplitudes(self, harmonics: int) -> list[float]:
        r"""Return the mean rate and the amplitudes of the first harmonics, by their formula.

        .. math:: r_0 + \frac{kA(1-\alpha)}{\pi}, \quad c_1 = \frac{kA(1+\alpha)}{2}, \quad
                  c_{2n} = \frac{2kA(1-\alpha)}{\pi(4n^2-1)}, \quad c_{2n+1} = 0
        """
        height = self.gain * self.amplitude
        bent = height * (1 - self.slope) / math.pi
        even = [0.0 if n % 2 else 2 * bent / (n * n - 1) for n in range(2, harmonics + 1)]
        return [self.r0 + bent, height * (1 + self.slope) / 2, *even]

    def record(self, samples: int, periods: int, exposure: float, seed: int | None) -> Recording:
        """Return a recording of whole periods.

        Args:
            samples: bins of a period.
            periods: how many.
            exposure: seconds that each bin is watched.
            seed: of Poisson counts; the rates themselves where there is none.

        Raises:
            InvalidValueError: a rate below 0.
        """
        stimulus = sine(samples, self.amplitude).repeat(periods)
        rate = self.rate(stimulus)
        if rate.min() < 0:
            raise InvalidValueError(
                "r0 must be at least gain · amplitude · slope, since no rate is below 0, but got"
                f" {self.r0:g} and {self.gain * self.amplitude * self.slope:g}."
            )
        if seed is not None:
            generator = torch.Generator().manual_seed(seed)
            rate = torch.poisson(rate * exposure, generator=generator) / exposure
        return Recording(stimulus, rate, exposure)


def read_rates(path: str, trials: int) -> Recording:
    """Return a recording from a CSV file with columns time, stimulus and rate.

    Raises:
        InvalidValueError: a file that is not that, times that are not evenly spaced, or a rate
            below 0.
    """
    time, stimulus, rate = read_columns(path, ("time", "stimulus", "rate"))
    if len(rate) < FEWEST:
        raise InvalidValueError(f"{path} must have at least {FEWEST} bins, but got {len(rate)}.")
    steps = time.diff()
    if not (steps > 0).all() or float(steps.max() - steps.min()) > 0.01 * float(steps.mean()):
        raise InvalidValueError(
            f"time of {path} must rise in even steps, but got steps from {float(steps.min()):g} to"
            f" {float(steps.max()):g}. Resample it."
        )
    if rate.min() < 0:
        raise InvalidValueError(
            f"rate of {path} must not be below 0, but got {float(rate.min()):g}."
        )
    return _checked(path, Recording(stimulus, rate, float(steps.mean()) * trials))


def read_spikes(path: str, stimulus_path: str, bin_width: float, trials: int) -> Recording:
    """Count spikes in bins, and average the stimulus in each.

    Args:
        path: CSV file with one column, time: the spikes of all trials, in any order.
        stimulus_path: CSV file with columns time and stimulus.
        bin_width: in the unit of both times, seconds.
        trials: that the spikes are of.

    Raises:
        InvalidValueError: a file that is not that, spikes beyond the stimulus, or a bin without a
            value of the stimulus.
    """
    (spikes,) = read_columns(path, ("time",))
    time, values = read_columns(stimulus_path, ("time", "stimulus"))
    if len(time) < FEWEST or not (time.diff() > 0).all():
        raise InvalidValueError(
            f"time of {stimulus_path} must rise, over at least {FEWEST} lines, but got {len(time)}."
        )
    low, high = float(time[0]), float(time[-1])
    if len(spikes) and not low <= float(spikes.min()) <= float(spikes.max()) <= high:
        raise InvalidValueError(
            f"spikes of {path} must lie where the stimulus is, from {low:g} to {high:g}, but got"
            f" {float(spikes.min()):g} to {float(spikes.max()):g}. Check the units."
        )
    bins = int((high - low) / bin_width + 1e-9)
    if bins < FEWEST:
        raise InvalidValueError(
            f"bin_width must leave at least {FEWEST} bins of {high - low:g} s, but got"
            f" {bin_width:g}."
        )

    def counted(at: Tensor, weights: Tensor) -> Tensor:
        number = ((at - low) / bin_width + 1e-9).long()
        inside = number < bins
        return torch.bincount(number[inside], weights[inside], minlength=bins)

    shown = counted(time, torch.ones_like(time))
    if not shown.all():
        raise InvalidValueError(
            f"bin_width must be at least the stimulus's step, but {int((shown == 0).sum())} of"
            f" {bins} bins of {bin_width:g} s have none of its values."
        )
    exposure = bin_width * trials
    rate = counted(spikes, torch.ones_like(spikes)) / exposure
    return _checked(path, Recording(counted(time, values) / shown, rate, exposure))


def _checked(path: str, recording: Recording) -> Recording:
    if not (recording.stimulus.std() > 0 and recording.rate.any()):
        raise InvalidValueError(
            f"{path} must have spikes, under a stimulus that varies, but got"
            f" {int(recording.rate.count_nonzero())} bins with spikes and a stimulus from"
            f" {float(recording.stimulus.min()):g} to {float(recording.stimulus.max()):g}."
        )
    return recording
