"""Bijections as changes of variables."""

import math

import pytest
import torch

from actsearch.activations import activation, catalogue
from actsearch.activations.bijective import Bijective
from actsearch.errors import InvalidValueError

NAMES = [name for name, entry in catalogue().items() if issubclass(entry, Bijective)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_round_trip(name, dtype, tolerance):
    """Where φ is nearly flat no dtype can hold the input: there the error of y counts."""
    φ = activation(name).to(dtype)
    x = (
        torch.linspace(-4, 4, 401, dtype=dtype)
        if name != "erf"
        else torch.linspace(-2, 2, 401, dtype=dtype)
    )
    with torch.no_grad():
        slope = φ.log_abs_derivative(x).exp().clamp_max(1)
        assert bool(((φ.inverse(φ(x)) - x).abs() * slope <= tolerance).all())


@pytest.mark.parametrize("name", NAMES)
def test_log_derivative_is_that_of_autograd(name):
    φ = activation(name).double()
    x = torch.linspace(-4.003, 4.001, 200, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(φ(x).sum(), x)
    torch.testing.assert_close(φ.log_abs_derivative(x), slope.abs().log(), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_as_a_transform(name):
    φ = activation(name)
    transform = φ.as_transform()
    assert transform.bijective
    assert transform.sign == 1
    x = torch.linspace(-2, 2, 9)
    torch.testing.assert_close(transform(x), φ(x))
    torch.testing.assert_close(transform.inv(φ(x)), x, rtol=1e-3, atol=1e-3)
    assert transform.domain.event_dim == transform.codomain.event_dim == 0
    assert bool(transform.codomain.check(φ(x)).all())
    normal = torch.distributions.Normal(0.0, 1.0)
    pushed = torch.distributions.TransformedDistribution(normal, [transform])
    expected = normal.log_prob(x) - φ.log_abs_derivative(x)
    torch.testing.assert_close(pushed.log_prob(φ(x)), expected, rtol=1e-3, atol=1e-3)


def test_leaky_relu_counts_its_negatives():
    φ = activation("leaky_relu", negative_slope=0.2)
    x = torch.randn(1000, dtype=torch.float64)
    assert float(φ.log_abs_derivative(x).sum()) == pytest.approx(
        int((x < 0).sum()) * math.log(0.2), rel=1e-12
    )
    with pytest.raises(InvalidValueError, match="negative_slope must be positive"):
        activation("leaky_relu", negative_slope=0.0).inverse(x)


def test_learned_parameters_get_gradients_from_the_density():
    φ = activation("learnable_leaky_relu")
    y = torch.tensor([-0.5, 0.3, -1.0])
    loss = -torch.distributions.TransformedDistribution(
        torch.distributions.Normal(0.0, 1.0), [φ.as_transform()]
    ).log_prob(y)
    loss.sum().backward()
    assert φ.raw_negative_slope.grad.abs() > 0
