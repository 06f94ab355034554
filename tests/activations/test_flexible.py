"""Flexible activations, from their formula and gradients to their compilation."""

import copy
import json
import math

import pytest
import torch
from torch import nn

from actsearch.activations import activation, catalogue, from_spec
from actsearch.activations.flexible import Flexible
from actsearch.errors import InvalidValueError, UnknownNameError

OWN = ["bspline", "mixture", "piecewise_linear", "rational"]
SHARES = [{}, {"share": "channel", "channels": 3}]


def moved(name, dtype=torch.float64, size=0.1, **values):
    """The activation away from its start, as after training."""
    φ = activation(name, **values).to(dtype)
    with torch.no_grad():
        φ.coefficients.add_(
            size * torch.randn(φ.coefficients.shape, generator=torch.Generator().manual_seed(0))
        )
    return φ


def draw(*shape, dtype=torch.float64, scale=2.0):
    return scale * torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(1))


def reference(name, c, x, values):
    """The formula, literally, for one vector of coefficients."""
    if name == "rational":
        n = values["numerator"]
        above = sum(c[i] * x**i for i in range(n + 1))
        return above / (1 + sum(c[n + j] * x**j for j in range(1, values["denominator"] + 1)).abs())
    if name == "mixture":
        return sum(
            w * activation(m, learn=()).double()(x)
            for w, m in zip(c.softmax(0), values["members"], strict=True)
        )
    d, K, B = values.get("degree", 1), values["intervals"], values["bound"]
    h = 2 * B / K
    beyond = (
        60  # coefficients continued linearly on both sides, far enough for every x of the tests
    )
    left = [c[0] - k * (c[1] - c[0]) for k in range(beyond, 0, -1)]
    right = [c[-1] + k * (c[-1] - c[-2]) for k in range(1, beyond + 1)]
    total = torch.zeros_like(x)
    for i, coefficient in enumerate([*left, *c, *right]):
        total = total + coefficient * cox_de_boor(i - beyond - d, d, (x + B) / h)
    return total


def cox_de_boor(i, d, t):
    """B-spline of degree d on the whole numbers, with its support beginning at i."""
    if d == 0:
        return ((t >= i) & (t < i + 1)).to(t.dtype)
    return ((t - i) * cox_de_boor(i, d - 1, t) + (i + d + 1 - t) * cox_de_boor(i + 1, d - 1, t)) / d


def test_what_is_flexible_and_no_bijection_is_this_list():
    flexible = {name for name, entry in catalogue().items() if issubclass(entry, Flexible)}
    assert flexible == {*OWN, "rational_quadratic_spline"}


CASES = [
    ("rational", {}),
    ("rational", {"numerator": 3, "denominator": 2}),
    ("rational", {"numerator": 1, "denominator": 1}),
    ("bspline", {}),
    *[("bspline", {"degree": d, "intervals": 5, "bound": 2.0}) for d in (1, 2, 4, 5)],
    ("piecewise_linear", {}),
    ("mixture", {}),
    ("mixture", {"members": ["sine", "gelu"], "like": "gelu"}),
]


@pytest.mark.parametrize(("name", "values"), CASES)
def test_formula_and_code_agree(name, values):
    φ = moved(name, **values)
    x = torch.linspace(-6, 6, 97, dtype=torch.float64)
    torch.testing.assert_close(
        φ(x), reference(name, φ.coefficients[0], x, φ.values), rtol=1e-9, atol=1e-9
    )
    by_channel = moved(name, share="channel", channels=3, **values)
    z = draw(4, 3, 2)
    for k in range(3):
        expected = reference(name, by_channel.coefficients[k], z[:, k], φ.values)
        torch.testing.assert_close(by_channel(z)[:, k], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", OWN)
def test_what_was_learned_by_channel_can_be_fixed_and_rebuilt(name):
    learned = moved(name, share="channel", channels=3)
    fixed = activation(name, learn=[], share="channel", channels=3).double()
    fixed.load_state_dict(learned.state_dict())
    rebuilt = from_spec(fixed.spec()).double()
    rebuilt.load_state_dict(fixed.state_dict())
    x = draw(2, 3, 2)
    assert torch.equal(rebuilt(x), learned(x))
    assert rebuilt.spec() == fixed.spec()


@pytest.mark.parametrize(("name", "values"), CASES)
@pytest.mark.parametrize("sharing", SHARES)
def test_first_and_second_gradients_in_input_and_coefficients(name, values, sharing):
    φ = moved(name, **values, **sharing)
    x = draw(2, 3, 2).requires_grad_()

    def function(x, c):
        return torch.func.functional_call(φ, {"coefficients": c}, (x,))

    assert torch.autograd.gradcheck(function, (x, φ.coefficients))
    assert torch.autograd.gradgradcheck(function, (x, φ.coefficients))


@pytest.mark.parametrize("name", OWN)
def test_recomputed_gradients_are_those_of_plain_operations(name):
    φ = moved(name, torch.float32)
    x = draw(5000, dtype=torch.float32).requires_grad_()
    fast = torch.autograd.grad(φ(x).square().sum(), (x, φ.coefficients))
    plain = torch.autograd.grad(φ(x).square().sum(), (x, φ.coefficients), create_graph=True)
    for first, second in zip(fast, plain, strict=True):
        torch.testing.assert_close(first, second, rtol=2e-4, atol=2e-4)


# The greatest differences measured on [-bound, bound], rounded up.
STARTS = [
    ("rational", "relu", 0.06),
    ("rational", "leaky_relu", 0.06),
    ("rational", "silu", 2e-4),
    ("rational", "gelu", 5e-3),
    ("rational", "tanh", 2e-4),
    ("rational", "sigmoid", 1e-4),
    ("rational", "mul(x,sigmoid(x))", 2e-4),
    ("bspline", "silu", 2e-3),
    ("bspline", "gelu", 5e-3),
    ("bspline", "tanh", 0.03),
    ("bspline", "relu", 0.09),
    ("bspline", "identity", 1e-9),
    ("piecewise_linear", "relu", 1e-9),
    ("piecewise_linear", "leaky_relu", 1e-9),
    ("piecewise_linear", "abs", 1e-9),
    ("piecewise_linear", "tanh", 0.07),
    ("mixture", "relu", 0.02),
]


@pytest.mark.parametrize(("name", "like", "error"), STARTS)
def test_starts_near_a_named_activation(name, like, error):
    φ = activation(name, like=like)
    assert φ.start_error < error
    bound = φ.values.get("bound", 5.0)
    x = torch.linspace(-bound, bound, 777)
    assert float((φ(x) - activation(like)(x)).detach().abs().max()) <= φ.start_error + 1e-5


@pytest.mark.parametrize(("name", "values"), CASES)
@pytest.mark.parametrize("sharing", SHARES)
def test_spec_state_and_copy(name, values, sharing):
    φ = moved(name, torch.float32, **values, **sharing)
    spec = json.loads(json.dumps(φ.spec()))
    rebuilt = from_spec(spec)
    assert rebuilt.spec() == φ.spec() == spec
    rebuilt.load_state_dict(φ.state_dict())
    x = draw(4, 3, dtype=torch.float32)
    assert torch.equal(rebuilt(x), φ(x))
    assert torch.equal(copy.deepcopy(φ)(x), φ(x))
    frozen = activation(name, learn=[], **values, **sharing)
    assert not list(frozen.parameters())
    assert not from_spec(frozen.spec()).has_learned()
    torch.testing.assert_close(frozen(x), activation(name, **values, **sharing)(x))


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("sharing", SHARES)
def test_compiles_and_exports_to_the_same_function(name, sharing):
    torch._dynamo.reset()
    model = nn.Sequential(nn.Linear(3, 3), activation(name, **sharing))
    x = draw(4, 3, dtype=torch.float32)
    compiled = torch.compile(copy.deepcopy(model), backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), model(x))
    compiled(x).square().sum().backward()
    model(x).square().sum().backward()
    for first, second in zip(compiled.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(first.grad, second.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(torch.export.export(model, (x,)).module()(x), model(x))


@pytest.mark.parametrize("name", OWN)
def test_function_transforms_pass_through(name):
    φ = moved(name)
    c, x = φ.coefficients.detach(), draw(6)

    def function(c, x):
        return torch.func.functional_call(φ, {"coefficients": c}, (x,))

    z = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(φ(z).sum(), z)
    torch.testing.assert_close(
        torch.func.vmap(torch.func.grad(function, 1), (None, 0))(c, x), expected
    )
    each = torch.func.vmap(torch.func.grad(function), (None, 0))(c, x)
    (summed,) = torch.autograd.grad(φ(x).sum(), φ.coefficients)
    torch.testing.assert_close(each.sum(0), summed)


@pytest.mark.parametrize("name", OWN)
def test_every_input_is_answered_in_its_shape_and_dtype(name):
    φ = activation(name)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        for shape in ((), (0,), (2, 3, 4)):
            y = φ(torch.ones(shape, dtype=dtype))
            assert (y.shape, y.dtype) == (shape, dtype)
    extremes = torch.tensor(
        [0.0, 1e-6, -1e-6, 50.0, -50.0, 100.0, -100.0, 1e4, -1e4], requires_grad=True
    )
    φ(extremes).sum().backward()
    assert φ(extremes).isfinite().all()
    assert extremes.grad.isfinite().all()
    nan = φ(torch.tensor([math.nan, 0.5]))
    assert nan.isnan().tolist() == [True, False]


@pytest.mark.parametrize("name", ["rational", "bspline"])
def test_half_precision_is_evaluated_in_single(name):
    φ, x = activation(name), torch.linspace(-20, 20, 99)
    torch.testing.assert_close(φ(x.half()).float(), φ(x.half().float()), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("rational", {"numerator": 9}, "numerator must be a whole number from 1 to 8, but got 9"),
        ("bspline", {"degree": 0}, "degree must be a whole number from 1 to 5, but got 0"),
        (
            "bspline",
            {"intervals": 8.0},
            "intervals must be a whole number from 2 to 64, but got 8.0",
        ),
        ("bspline", {"bound": 0}, "bound must be a positive number, but got 0"),
        ("mixture", {"members": ["relu"]}, "members must be at least two different names"),
        ("mixture", {"members": ["relu", "tanh"], "like": "gelu"}, "like must be one of"),
    ],
)
def test_options_out_of_range_are_refused(name, values, says):
    with pytest.raises(InvalidValueError, match=says):
        activation(name, **values)


def test_names_that_do_not_exist_are_refused():
    with pytest.raises(UnknownNameError, match="unknown learnable parameter of bspline 'degree'"):
        activation("bspline", learn=["degree"])
    with pytest.raises(UnknownNameError, match="unknown parameter of piecewise_linear 'degree'"):
        activation("piecewise_linear", degree=2)
    with pytest.raises(UnknownNameError, match="unknown activation 'rleu'"):
        activation("rational", like="rleu")
