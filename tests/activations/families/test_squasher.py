"""Squashers: onto (-1, 1), with a log-derivative that is right where φ has long been flat."""

import math

import mpmath
import pytest
import torch

from actsearch.activations import activation, catalogue, properties
from actsearch.activations.registry import family

NAMES = [name for name, entry in catalogue().items() if family(entry) == "squasher"]
TEXT = {
    "tanh": lambda u: 2 * mpmath.log(mpmath.sech(u)),
    "softsign": lambda u: -2 * mpmath.log(1 + abs(u)),
    "parametric_softsign": lambda u: -2 * mpmath.log(1 + abs(u)),
    "scaled_arctan": lambda u: -mpmath.log(1 + (mpmath.pi * u / 2) ** 2),
    "erf": lambda u: mpmath.log(2 / mpmath.sqrt(mpmath.pi)) - u**2,
    "isru": lambda u: -1.5 * mpmath.log(1 + u**2),
}


@pytest.mark.parametrize("name", NAMES)
def test_log_derivative_is_stable(name):
    φ = activation(name, learn=())
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-13)):
        for u in (-20.0, 20.0, -100.0, 1e-4, 0.0):
            x = torch.tensor([u], dtype=dtype, requires_grad=True)
            found = φ.log_abs_derivative(x)
            assert float(found.detach()) == pytest.approx(
                float(TEXT[name](mpmath.mpf(u))), rel=tolerance, abs=1e-7
            )
            (slope,) = torch.autograd.grad(found, x)
            assert bool(slope.isfinite())


def test_tanh_as_in_the_specification():
    u = 20.0
    exact = 2 * (math.log(2) - u - math.log1p(math.exp(-2 * u)))
    assert float(activation("tanh").log_abs_derivative(torch.tensor([u]))) == pytest.approx(
        exact, rel=1e-6
    )


@pytest.mark.parametrize("name", NAMES)
def test_onto_the_open_interval(name):
    facts = properties(name)
    assert (facts.minimum, facts.maximum) == (-1.0, 1.0) or name == "isru"
    assert facts.bijective
    assert facts.bounded
