"""Every bijection inverts, states its log-derivative, and stays a bijection while it learns."""

import copy
import math

import pytest
import torch
from torch.distributions import Normal, TransformedDistribution

from actsearch.activations import activation, catalogue, from_spec
from actsearch.activations.bijective import Bijective
from actsearch.activations.families.bijection.implicit import solve
from actsearch.activations.registry import family
from actsearch.errors import InvalidValueError

OWN = [
    "elu_linear_tail",
    "monotone_cubic",
    "rational_quadratic_spline",
    "sinh_arcsinh",
    "tanh_skip",
]
CASES = [
    ("elu_linear_tail", {}),
    ("elu_linear_tail", {"alpha": 0.3, "tail": -0.7}),
    ("elu_linear_tail", {"alpha": 2.5, "tail": -4.0}),
    ("sinh_arcsinh", {}),
    ("sinh_arcsinh", {"skewness": 0.7, "tailweight": 0.6}),
    ("sinh_arcsinh", {"skewness": -0.4, "tailweight": 1.5}),
    ("tanh_skip", {}),
    ("tanh_skip", {"skip": 2.0}),
    ("monotone_cubic", {}),
    ("monotone_cubic", {"linear": 0.2, "cubic": 3.0}),
    ("rational_quadratic_spline", {}),
    ("rational_quadratic_spline", {"bins": 3, "bound": 2.0}),
]


def moved(name, values, size=0.7):
    """The activation away from its start, as after training."""
    φ = activation(name, **values)
    assert isinstance(φ, Bijective)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in φ.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))
    return φ


def inputs(dtype):
    return torch.cat(
        [torch.linspace(-8, 8, 801), torch.tensor([0.0, 1e-6, -1e-6, 20.0, -20.0])]
    ).to(dtype)


def slope(φ, x):
    x = x.detach().clone().requires_grad_()
    (found,) = torch.autograd.grad(φ(x).sum(), x)
    return found


def test_the_family_is_this_list():
    assert [name for name, entry in catalogue().items() if family(entry) == "bijection"] == OWN
    assert {name for name, _ in CASES} == set(OWN)


@pytest.mark.parametrize(("name", "values"), CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_round_trip_both_ways(name, values, dtype, tolerance):
    φ = moved(name, values).to(dtype)
    x = inputs(dtype)
    y = φ(x).detach()
    # One rounding of y moves x by |y| / φ'(x) of it: no inverse can do better.
    conditioning = torch.maximum(x.abs(), y.abs() / slope(φ, x)).clamp(min=1.0)
    assert float(((φ.inverse(y).detach() - x).abs() / conditioning).max()) < tolerance
    back = φ(φ.inverse(x)).detach()
    assert float(((back - x).abs() / x.abs().clamp(min=1.0)).max()) < tolerance * 10


@pytest.mark.parametrize(("name", "values"), CASES)
def test_log_derivative_is_that_of_autograd(name, values):
    φ = moved(name, values).double()
    x = inputs(torch.float64)
    torch.testing.assert_close(φ.log_abs_derivative(x), slope(φ, x).log(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("name", "values"), CASES)
@pytest.mark.parametrize("size", [3.0, 10.0])
def test_far_from_the_start_it_still_rises(name, values, size):
    φ = moved(name, values, size).double()
    x = torch.linspace(-4, 4, 2001, dtype=torch.float64)
    y = φ(x)
    finite = y.isfinite()
    assert bool(finite.any())
    assert bool((y[finite].diff() >= 0).all())
    assert bool((slope(φ, x)[finite] > 0).all())


@pytest.mark.parametrize(("name", "values"), CASES)
def test_inverse_and_log_derivative_have_gradients_in_input_and_parameters(name, values):
    φ = moved(name, values, 0.3).double()
    y = torch.linspace(-1.9, 2.1, 7, dtype=torch.float64, requires_grad=True)
    names = [key for key, _ in φ.named_parameters()]
    parameters = tuple(φ.parameters())

    def called(method):
        def function(y, *parameters):
            twin = copy.deepcopy(φ)
            for key in names:
                del twin._parameters[key]
            for key, parameter in zip(names, parameters, strict=True):
                setattr(twin, key, parameter)
            return getattr(twin, method)(y)

        return function

    for method in ("forward", "inverse", "log_abs_derivative"):
        assert torch.autograd.gradcheck(called(method), (y, *parameters)), method


@pytest.mark.parametrize("name", OWN)
def test_as_a_change_of_variables_the_density_integrates_to_one(name):
    φ = moved(name, {}, 0.3).double()
    transform = φ.as_transform()
    base = Normal(torch.tensor(0.0, dtype=torch.float64), 1.0)
    y = torch.linspace(-60, 60, 400_001, dtype=torch.float64)
    density = TransformedDistribution(base, transform).log_prob(y).exp()
    assert float(torch.trapezoid(density, y).detach()) == pytest.approx(1.0, abs=2e-4)
    assert transform.sign == 1


@pytest.mark.parametrize("name", OWN)
def test_spec_and_state_rebuild_it(name):
    φ = moved(name, {})
    rebuilt = from_spec(φ.spec())
    rebuilt.load_state_dict(φ.state_dict())
    x = inputs(torch.float32)
    assert rebuilt.spec() == φ.spec()
    assert torch.equal(rebuilt(x), φ(x))


def test_starts_at_the_identity():
    x = inputs(torch.float64)
    for name in ("sinh_arcsinh", "rational_quadratic_spline"):
        torch.testing.assert_close(activation(name).plain()(x), x, rtol=1e-12, atol=1e-12)


def test_spline_per_channel_inverts_in_each_channel():
    φ = moved("rational_quadratic_spline", {"share": "channel", "channels": 3}).double()
    x = torch.randn(4, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(φ.inverse(φ(x)), x)
    assert not torch.allclose(φ(x[:, :1].expand(4, 3, 5))[:, 0], φ(x[:, :1].expand(4, 3, 5))[:, 1])


def test_sinh_arcsinh_moves_skewness_and_tails():
    z = torch.randn(200_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    heavy = activation("sinh_arcsinh", tailweight=1.5, learn=[])(z)
    left = activation("sinh_arcsinh", skewness=1.0, learn=[])(z)
    standard = (heavy - heavy.mean()) / heavy.std()
    assert float(standard.pow(4).mean()) > 4  # the normal's kurtosis is 3
    assert float(left.median()) == pytest.approx(math.sinh(-1.0), abs=0.02)


def test_the_solver_bisects_where_newton_leaves_the_bracket():
    y = torch.tensor([-0.999, -0.5, 0.0, 0.9, 0.999], dtype=torch.float64)
    edge = torch.full_like(y, 50.0)
    x = solve(torch.tanh, lambda x: 1 - torch.tanh(x).square() + 1e-300, y, -edge, edge)
    torch.testing.assert_close(x, torch.atanh(y), rtol=1e-10, atol=1e-10)


def test_values_out_of_range_are_refused():
    with pytest.raises(InvalidValueError, match="skip must be in"):
        activation("tanh_skip", skip=0.0)
    with pytest.raises(
        InvalidValueError, match="bins must be a whole number from 2 to 64, but got 1"
    ):
        activation("rational_quadratic_spline", bins=1)
    with pytest.raises(InvalidValueError, match="bound must be a positive number, but got -1"):
        activation("rational_quadratic_spline", bound=-1)
