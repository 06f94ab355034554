"""A spline's degree is its smoothness, and it ends in straight lines."""

import math

import pytest
import torch

from actsearch.activations import activation, properties
from actsearch.activations.families.spline import blending


def moved(size, **values):
    """A spline away from its start, as after training."""
    φ = activation("bspline", **values).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        φ.coefficients.add_(size * torch.randn(φ.coefficients.shape, generator=generator))
    return φ


@pytest.mark.parametrize("degree", [1, 2, 3, 4, 5])
def test_the_degree_of_a_spline_is_its_smoothness(degree):
    φ = moved(0.5, degree=degree, intervals=6, bound=3.0)
    assert properties(φ).smoothness == degree - 1
    # Every break, outer ones too.
    knots = torch.arange(-3 - (degree - 1) + 1, 3 + (degree - 1), dtype=torch.float64)
    step = 1e-9
    jumps = []
    for x in (knots - step, knots + step):
        orders = [x.requires_grad_()]
        value = φ(x)
        for _ in range(degree + 1):
            orders.append(value)
            if not value.requires_grad:
                break
            (value,) = torch.autograd.grad(value.sum(), x, create_graph=True, allow_unused=True)
            value = torch.zeros_like(x) if value is None else value
        jumps.append(orders[1:])
    for order, (below, above) in enumerate(zip(*jumps, strict=True)):
        jump = (above - below).abs().detach()
        if order < degree:
            assert float(jump.max()) < 1e-6, order
        else:
            assert float(jump.min()) > 1e-3, order


@pytest.mark.parametrize("degree", [1, 3, 5])
def test_a_spline_ends_in_straight_lines(degree):
    φ = moved(0.1, degree=degree, bound=2.0, intervals=4)
    edge = 2.0 + (degree - 1) * 1.0
    for sign in (-1, 1):
        x = sign * torch.tensor([edge, edge + 1, edge + 2, 1e4, 2e4, 3e4], dtype=torch.float64)
        y = φ(x).detach()
        slope = (y[1] - y[0]) / (x[1] - x[0])
        torch.testing.assert_close(y, y[0] + slope * (x - x[0]), rtol=1e-9, atol=1e-9)


def test_blending_functions_sum_to_one_and_reproduce_lines():
    for degree in range(1, 6):
        rows = blending(degree) / math.factorial(degree)
        assert torch.equal(rows * math.factorial(degree), (rows * math.factorial(degree)).round())
        torch.testing.assert_close(rows.sum(0), torch.eye(degree + 1, dtype=torch.float64)[0])
        line = (torch.arange(degree + 1, dtype=torch.float64) - (degree - 1) / 2) @ rows
        expected = torch.zeros(degree + 1, dtype=torch.float64)
        expected[1] = 1
        torch.testing.assert_close(line, expected)


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_derivatives_of_derivatives_by_torch_func_are_those_of_autograd(degree):
    φ = moved(0.5, degree=degree)
    x = torch.linspace(-2, 2, 9, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(φ(x).sum(), x, create_graph=True)
    (expected,) = torch.autograd.grad(slope.square().sum(), φ.coefficients)
    _, pull = torch.func.vjp(φ, x.detach())
    (found,) = pull(torch.ones(9, dtype=torch.float64))
    torch.testing.assert_close(found, slope)
    torch.testing.assert_close(
        torch.autograd.grad(found.square().sum(), φ.coefficients)[0], expected
    )
