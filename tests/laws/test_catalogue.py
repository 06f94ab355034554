"""Laws of every activation: what a layer of a network relies on."""

import copy
import io
import json

import pytest
import torch

from actsearch.activations import Parameter, catalogue, from_spec, properties
from actsearch.activations.families.surrogate import Surrogate
from actsearch.activations.properties.breaks import derivatives, find_breaks, grid
from actsearch.activations.registry import family
from actsearch.errors import UnknownNameError

FAMILIES = {
    "algebraic": [
        "bent_identity", "isrlu", "square", "squareplus",
    ],
    "approximation": [
        "pade_tanh", "piecewise_linear_gelu", "piecewise_linear_sigmoid",
        "piecewise_linear_tanh", "plan_sigmoid", "quadratic_gelu", "quadratic_sigmoid",
        "quadratic_tanh", "quick_gelu",
    ],
    "bijection": [
        "elu_linear_tail", "monotone_cubic", "rational_quadratic_spline", "sinh_arcsinh",
        "tanh_skip",
    ],
    "clip": [
        "clip", "clipped_relu", "hardsigmoid", "hardtanh", "relu6",
    ],
    "exponential": [
        "arcsinh", "celu", "elu", "gaussian", "log1pabs", "logsigmoid", "selu",
        "softplus",
    ],
    "gated": [
        "acon_c", "elish", "gelu", "hard_elish", "hardswish", "logish", "mish",
        "parametric_gelu", "parametric_mish", "phish", "serf", "silu", "smish", "swish",
        "tanhexp",
    ],
    "mixture": [
        "mixture",
    ],
    "periodic": [
        "cosine", "sine", "snake",
    ],
    "physical": [
        "attenuation", "coulomb_step", "gaussian_radial", "hill", "soft_coulomb",
    ],
    "rational": [
        "rational",
    ],
    "rectifiers": [
        "abs", "identity", "leaky_relu", "learnable_leaky_relu", "prelu", "relu", "rrelu",
        "squared_relu", "star_relu",
    ],
    "shrinkage": [
        "hardshrink", "smooth_hardshrink", "softshrink", "tanhshrink", "threshold",
    ],
    "sigmoidal": [
        "adaptive_slope", "arctan", "laplace", "penalized_tanh", "sigmoid",
        "tempered_sigmoid", "tempered_tanh",
    ],
    "spline": [
        "bspline", "piecewise_linear",
    ],
    "squasher": [
        "erf", "isru", "parametric_softsign", "scaled_arctan", "softsign", "tanh",
    ],
    "surrogate": [
        "arctan_surrogate", "fast_sigmoid_surrogate", "gaussian_surrogate",
        "multi_gaussian_surrogate", "rectangular_surrogate", "sigmoid_surrogate",
        "straight_through", "triangular_surrogate",
    ],
}  # fmt: skip
POINTS = (0.0, 1e-6, -1e-6, 50.0, -50.0, 100.0, -100.0, 1e4, -1e4)


def everything_learned(entry, **options):
    names = [key for key, a in entry.arguments.items() if isinstance(a, Parameter) and a.learnable]
    # What has no parameter with a name may still learn coefficients.
    return entry(learn=names or None, **options)


def smooth_points(φ, count=24):
    """Points of [-6, 6], none near a jump of φ, φ' or φ''."""
    x = torch.linspace(-5.9731, 6.0173, count, dtype=torch.float64)
    wide = grid()
    for found in find_breaks(φ, wide, derivatives(φ, wide, 1)):
        x = x[(x - found.above).abs() > 1e-2]
    return x


def test_the_catalogue_is_the_pinned_one():
    found = {}
    for name, entry in catalogue().items():
        found.setdefault(family(entry), []).append(name)
    assert found == FAMILIES


def test_every_entry_states_what_it_is(entry):
    assert entry.formula
    assert entry.__doc__
    assert ".. math::" in entry.__doc__
    assert entry.reference == "" or "http" in entry.reference or "Journal" in entry.reference
    for name, argument in entry.arguments.items():
        assert f"{name}:" in entry.__doc__ or any(
            f"{name}:" in (b.__doc__ or "") for b in entry.__mro__
        ), name
        assert not isinstance(argument, Parameter) or argument.symbol


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_shape_dtype_and_device_are_kept(entry, dtype):
    for module in (entry(), everything_learned(entry)):
        for shape in ((), (5,), (2, 3, 4), (0, 3)):
            x = torch.randn(shape, dtype=dtype)
            y = module(x)
            assert (y.shape, y.dtype, y.device) == (x.shape, x.dtype, x.device)


@pytest.mark.parametrize("channel_dim", [1, -1])
def test_a_channel_has_its_own_parameters(entry_with_parameters, channel_dim):
    layer = everything_learned(entry_with_parameters)
    module = everything_learned(
        entry_with_parameters, share="channel", channels=3, channel_dim=channel_dim
    )
    x = torch.randn(2, 3, 5, 3)
    torch.testing.assert_close(module(x), layer(x))
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.shape[:1] == (3,):
                parameter[1] += 0.25
    changed = (module(x) - layer(x)).abs().movedim(channel_dim, 0).flatten(1).amax(dim=1)
    assert changed[0] < 1e-6
    assert changed[2] < 1e-6
    if not isinstance(module, Surrogate):
        assert changed[1] > 1e-6


def test_value_and_gradient_are_finite(entry):
    for module in (entry().eval(), everything_learned(entry).eval()):
        exact = copy.deepcopy(module).double()
        for dtype in (torch.float32, torch.float64):
            x = torch.tensor(POINTS, dtype=dtype, requires_grad=True)
            wide = x.detach().double().requires_grad_()
            reference = exact(wide)
            (slope,) = torch.autograd.grad(reference.sum(), wide)
            there = reference.isfinite() & (reference.abs() < torch.finfo(dtype).max)
            y = copy.deepcopy(module).to(dtype)(x)
            (gradient,) = torch.autograd.grad(y[there].sum(), x)
            assert y[there].isfinite().all()
            assert not slope.isnan().any()
            assert gradient[there].isfinite().all()


def test_gradients_of_parameters_are_finite(entry_that_learns):
    module = everything_learned(entry_that_learns).eval()
    far = 50 if module.name == "attenuation" else max(POINTS)
    x = torch.cat([torch.tensor([p for p in POINTS if abs(p) <= far]), torch.randn(20)])
    (module(x) * torch.rand_like(x)).sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_gradient_is_that_of_the_value(entry_with_own_gradient):
    module = everything_learned(entry_with_own_gradient).double().eval()
    x = smooth_points(module).requires_grad_()
    names = [name for name, _ in module.named_parameters()]

    def function(x, *parameters):
        return torch.func.functional_call(module, dict(zip(names, parameters, strict=True)), (x,))

    parameters = tuple(p.detach().requires_grad_() for p in module.parameters())
    assert torch.autograd.gradcheck(function, (x, *parameters), fast_mode=True)


def test_second_derivative_is_that_of_the_gradient(entry_differentiable_twice):
    module = everything_learned(entry_differentiable_twice).double().eval()
    x = smooth_points(module).requires_grad_()
    assert torch.autograd.gradgradcheck(module, (x,), fast_mode=True, atol=1e-4)
    far = torch.tensor([0.0, 60.0, -60.0, 1e3, -1e3], requires_grad=True)
    function = entry_differentiable_twice().eval()
    (first,) = torch.autograd.grad(function(far).sum(), far, create_graph=True)
    if first.requires_grad and bool(first.isfinite().all()):
        (second,) = torch.autograd.grad(first.sum(), far)
        assert not second.isnan().any()


def test_a_missing_second_derivative_is_torch_s(entry_without_second_derivative):
    x = torch.tensor([0.5], requires_grad=True)
    (first,) = torch.autograd.grad(entry_without_second_derivative()(x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="not implemented"):
        torch.autograd.grad(first.sum(), x)


def test_each_element_alone(entry):
    module = entry().eval()
    x = torch.randn(3, 7)
    rows = torch.stack([torch.stack([module(v) for v in row]) for row in x])
    torch.testing.assert_close(module(x), rows)
    torch.testing.assert_close(module(x.t()), rows.t())


def test_the_input_is_left_as_it_is(entry):
    x = torch.randn(11)
    kept = x.clone()
    everything_learned(entry)(x)
    assert torch.equal(x, kept)


def test_spec_state_and_copy_give_the_same_function(entry):
    for options in ({}, {"share": "channel", "channels": 3, "channel_dim": -1}):
        module = everything_learned(entry, **options).eval()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter += 0.05 * torch.randn_like(parameter)
        spec = json.loads(json.dumps(module.spec()))
        rebuilt = from_spec(spec).eval()
        assert type(rebuilt) is entry
        assert rebuilt.spec() == module.spec()
        rebuilt.load_state_dict(module.state_dict())
        x = torch.randn(4, 3)
        assert torch.equal(rebuilt(x), module(x))
        assert torch.equal(copy.deepcopy(module)(x), module(x))


def test_plain_is_the_function_at_its_start(entry):
    module = entry().eval()
    x = torch.randn(50).double()
    torch.testing.assert_close(
        module.plain().eval()(x), copy.deepcopy(module).double()(x), rtol=1e-6, atol=1e-6
    )
    assert not any(module.plain().parameters())


def test_what_cannot_be_learned_is_refused(entry):
    fixed = [
        name
        for name, argument in entry.arguments.items()
        if not isinstance(argument, Parameter) or not argument.learnable
    ]
    for name in ("no_such_parameter", *fixed):
        with pytest.raises(UnknownNameError):
            entry(learn=[name])


def test_it_can_be_made_without_numbers(entry):
    """On the meta device, as large models are; then it has shapes alone."""
    with torch.device("meta"):
        made = everything_learned(entry, share="channel", channels=3)
        assert made(torch.empty(2, 3)).shape == (2, 3)
    plain = everything_learned(entry, share="channel", channels=3)
    shapes = {name: (x.shape, x.dtype) for name, x in plain.state_dict().items()}
    assert {name: (x.shape, x.dtype) for name, x in made.state_dict().items()} == shapes
    assert all(x.is_meta for x in made.state_dict().values())


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
def test_forward_and_backward_mode_agree(entry):
    """Jacobian-vector products, and second derivatives by both modes where there are any."""
    f = everything_learned(entry).double().eval()
    x = torch.tensor([-3.0, -1.1, -0.3, 0.4, 2.1, 5.2], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(f(x).sum(), x)
    _, found = torch.func.jvp(f, (x.detach(),), (torch.ones_like(x),))
    torch.testing.assert_close(found, slope)
    if properties(f).smoothness >= 2:
        curvature = torch.func.hessian(lambda z: f(z).sum())(x.detach())
        value = f(x).sum() + 0 * x.square().sum()  # what is linear has a second derivative too
        (first,) = torch.autograd.grad(value, x, create_graph=True)
        (expected,) = torch.autograd.grad(first.sum(), x)
        torch.testing.assert_close(curvature, expected.diag())


def test_half_precision_is_finite_where_it_can_hold_the_value(entry):
    x = torch.tensor([6e-8, 1e-4, 1.0, 10.0, 88.0, 100.0, 1e4, 65504.0])
    x = torch.cat([-x, x.new_zeros(1), x]).half()
    with torch.no_grad():
        value = entry().eval().half()(x)
        exact = entry().eval().double()(x.double())
    assert bool(value[exact.abs() <= 65504].isfinite().all())


def test_what_is_no_number_stays_none(entry):
    x = torch.full((3,), torch.nan, requires_grad=True)
    assert bool(entry()(x).isnan().all())
    with torch.no_grad():
        assert bool(entry()(x).isnan().all())


@pytest.mark.filterwarnings("ignore:`torch.jit.*` is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # of numbers that never change
def test_it_can_be_traced_and_saved(entry):
    """By ``torch.jit.trace`` with its check, learned by channel: any batch, its gradients too."""
    module = everything_learned(entry, share="channel", channels=3).eval()
    traced = torch.jit.trace(module, torch.randn(2, 3))
    torch.jit.save(traced, io.BytesIO())
    x = torch.randn(5, 3, requires_grad=True)
    torch.testing.assert_close(traced(x), module(x))
    if module(x).requires_grad:
        expected, found = (
            torch.autograd.grad(m(x).sum(), [x, *m.parameters()]) for m in (module, traced)
        )
        torch.testing.assert_close(found, expected)
