"""Expectations against closed forms."""

import math

import pytest
import torch

from actsearch.activations.properties.quadrature import (
    gaussian_mean,
    probability_below,
    probability_zero,
)


@pytest.mark.parametrize("deviation", [0.1, 1.0, 3.0])
def test_moments_of_the_normal_distribution(deviation):
    assert gaussian_mean(torch.ones_like, deviation) == pytest.approx(1, abs=1e-14)
    assert gaussian_mean(torch.square, deviation) == pytest.approx(deviation**2, rel=1e-13)
    assert gaussian_mean(torch.relu, deviation) == pytest.approx(
        deviation / math.sqrt(2 * math.pi), rel=1e-13
    )
    assert gaussian_mean(torch.cos, deviation) == pytest.approx(
        math.exp(-(deviation**2) / 2), rel=1e-12
    )


def test_a_kink_is_exact_where_a_panel_ends():
    exact = 0.5 * math.erfc(0.3 / math.sqrt(2))  # P(z > 0.3)
    step = lambda x: (x > 0.3).to(x.dtype)  # noqa: E731
    assert gaussian_mean(step, splits=[0.3]) == pytest.approx(exact, abs=1e-14)
    assert gaussian_mean(step) != pytest.approx(exact, abs=1e-6)


def test_probabilities():
    x = torch.linspace(-10, 10, 8001, dtype=torch.float64)
    assert probability_below(0.5, x, x.abs()) == pytest.approx(
        math.erf(0.5 / math.sqrt(2)), abs=1e-9
    )
    assert probability_below(0.5, x, x.abs(), deviation=2.0) == pytest.approx(
        math.erf(0.25 / math.sqrt(2)), abs=1e-6
    )
    assert probability_zero(x, torch.relu(x)) == pytest.approx(0.5, abs=1e-12)
    assert probability_zero(x, x) == 0.0
