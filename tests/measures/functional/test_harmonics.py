"""Harmonics of waves whose Fourier series are known."""

import math

import pytest
import torch

from actsearch.activations import activation
from actsearch.errors import InvalidValueError
from actsearch.measures.functional.harmonics import harmonics


def sine(samples=4096, periods=1, amplitude=1.0):
    t = torch.arange(samples, dtype=torch.float64) / samples
    return amplitude * (2 * math.pi * periods * t).sin()


def decibels(ratio):
    return 20 * math.log10(ratio)


@pytest.mark.parametrize("periods", [1, 5])
def test_a_rectified_sine_has_its_fourier_series(periods):
    levels = harmonics(sine(periods=periods).relu(), 6, periods).tolist()
    # c_1 = 1/2 and c_2n = 2 / (π (4n² - 1)); odd ones are 0.
    even = [decibels(4 / (math.pi * (k**2 - 1))) for k in (2, 4, 6)]
    assert levels[1::2] == pytest.approx(even, abs=1e-3)
    assert levels[0] == 0
    assert max(levels[2::2]) < -280


def test_a_square_wave_has_odd_harmonics_that_fall_as_1_over_k():
    t = (torch.arange(4096, dtype=torch.float64) + 0.5) / 4096
    levels = harmonics((2 * math.pi * t).sin().sign(), 7)
    expected = [decibels(1 / k) for k in (1, 3, 5, 7)]
    assert levels[::2].tolist() == pytest.approx(expected, abs=1e-3)
    assert levels[1::2].max() < -250


@pytest.mark.parametrize("name", ["tanh", "arctan", "softsign", "erf", "clip", "sine"])
@pytest.mark.parametrize("amplitude", [1.0, 5.0])
def test_odd_activations_make_odd_harmonics_only(name, amplitude):
    wave = activation(name).double()(sine(amplitude=amplitude))
    assert harmonics(wave, 8)[1::2].max() < -250


@pytest.mark.parametrize("name", ["silu", "softplus", "relu"])
def test_half_a_line_and_an_even_function_make_even_harmonics_only(name):
    levels = harmonics(activation(name).double()(sine()), 9)
    assert levels[2::2].max() < -250
    assert levels[1] > -20


def test_waves_side_by_side_are_measured_each_and_can_be_trained():
    drive = torch.tensor([[1.0], [3.0]], dtype=torch.float64, requires_grad=True)
    levels = harmonics((drive * sine()).tanh(), 3)
    assert levels.shape == (2, 3)
    assert levels[0].tolist() == pytest.approx(harmonics(sine().tanh(), 3).tolist(), abs=1e-6)
    (gradient,) = torch.autograd.grad(levels[:, 2].sum(), drive)
    assert (gradient > 0).all(), "more drive, more of the third"


def test_what_is_no_wave_of_whole_periods_is_refused():
    with pytest.raises(InvalidValueError, match="n=8, periods=1 and 16 samples"):
        harmonics(sine(16), 8)
    with pytest.raises(InvalidValueError, match="must have a fundamental of 1 periods"):
        harmonics(torch.ones(64), 3)
    with pytest.raises(InvalidValueError, match="must have a fundamental of 2 periods"):
        harmonics(sine(64, periods=3), 3, periods=2)
