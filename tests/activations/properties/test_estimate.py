"""The numbers of the specification, the estimator against every declaration, scope, and cost."""

import math
from typing import ClassVar

import pytest
import torch

from actsearch.activations import Activation, activation, catalogue, properties
from actsearch.activations.families.surrogate import Surrogate
from actsearch.activations.properties.estimate import derivative, moments
from actsearch.activations.properties.properties import STRUCTURAL
from actsearch.activations.properties.shape import shape
from actsearch.errors import InvalidValueError, UnknownNameError


@pytest.mark.parametrize(
    ("name", "bound", "digits"),
    [
        ("sigmoid", 0.25, 12),
        ("tanh", 1, 12),
        ("softplus", 1, 12),
        ("relu", 1, 12),
        ("silu", 1.0998, 4),
        ("gelu", 1.1289, 4),
        ("mish", 1.0885, 4),
        ("selu", 1.7581, 4),
    ],
)
def test_derivative_bounds_of_the_specification(name, bound, digits):
    assert round(properties(name).derivative_bound, digits) == bound
    φ = activation(name).plain()
    assert shape(φ)["derivative_bound"] == pytest.approx(
        properties(name).derivative_bound, rel=1e-9
    )


@pytest.mark.parametrize(
    ("name", "values", "kappa"),
    [
        ("relu", {}, 2.0),
        ("leaky_relu", {"negative_slope": 0.1}, 1.6694),
        ("leaky_relu", {"negative_slope": 0.01}, 1.9608),
        ("prelu", {"negative_slope": 0.5}, 1.1111),
        ("elu", {}, 1.1519),
        ("tanh", {}, 1.2658),
        ("sigmoid", {}, 1.0502),
        ("gelu", {}, 1.8234),
        ("silu", {}, 1.5179),
        ("mish", {}, 1.5074),
        ("softplus", {}, 1.1735),
        ("selu", {}, 1.1039),
    ],
)
def test_relative_gradient_noise_of_the_specification(name, values, kappa):
    assert properties(name, **values).kappa == pytest.approx(kappa, abs=1e-4)


def test_gains_and_sparsity_of_the_specification():
    relu, leaky = properties("relu"), properties("leaky_relu")
    assert (relu.forward_gain, relu.backward_gain) == (2.0, 2.0)
    assert relu.sparsity == 0.5
    assert leaky.sparsity == 0.0
    assert relu.saturation == 0.5
    assert properties("tanh").forward_gain == pytest.approx(2.5361, abs=1e-4)


def test_small_signals_of_the_specification():
    """GELU's output variance is s²/4 for small s, ReLU's 0.3408 s².

    Both from moments under N(0, s²).
    """
    s = 1e-4
    power = 1 / moments(activation("gelu").plain(), deviation=s)["forward_gain"]
    assert power / s**2 == pytest.approx(0.25, abs=1e-6)
    relu = activation("relu").plain()
    assert 1 / moments(relu, s)["forward_gain"] / s**2 - (
        1 / math.sqrt(2 * math.pi)
    ) ** 2 == pytest.approx(0.3408, abs=5e-5)


@pytest.mark.parametrize(
    ("name", "smoothness"),
    [
        ("relu", 0),
        ("elu", 1),
        ("tanh", math.inf),
        ("gelu", math.inf),
        ("silu", math.inf),
        ("mish", math.inf),
        ("gaussian", math.inf),
    ],
)
def test_smoothness_of_the_specification(name, smoothness):
    assert properties(name).smoothness == smoothness
    assert shape(activation(name).plain())["smoothness"] == smoothness


def test_pieces_binaries_and_convexity_of_the_specification():
    pieces = {
        name: (properties(name).pieces, properties(name).binaries)
        for name in ("relu", "leaky_relu", "clipped_relu")
    }
    assert pieces == {"relu": (2, 1), "leaky_relu": (2, 1), "clipped_relu": (3, 2)}
    assert properties("tanh").binaries is None
    convex = [
        name
        for name in ("relu", "leaky_relu", "softplus", "elu", "silu", "tanh")
        if properties(name).convex
    ]
    assert convex == ["relu", "leaky_relu", "softplus", "elu"]
    assert not properties("elu", alpha=1.1).convex
    assert properties("elu", alpha=0.9).convex
    tanh = properties("tanh")
    assert tanh.monotone
    assert tanh.non_expansive
    assert tanh.bounded
    assert tanh.odd
    assert tanh.zero_preserving
    assert not any(properties(name).monotone for name in ("silu", "gelu", "mish"))


@pytest.mark.parametrize("name", list(catalogue()))
def test_the_estimate_agrees_with_the_declaration(name):
    """What an expression gets by numbers is what a named activation gets by analysis."""
    entry = catalogue()[name]
    φ = activation(name).plain().eval()
    declared = entry.declare(**φ.values)
    estimated = shape(φ)
    for fact in STRUCTURAL:
        if fact not in declared or (fact == "smoothness" and name == "hardsigmoid"):
            continue  # torch has no second derivative of hardsigmoid
        if fact == "pieces":  # a surrogate's gradient is not that of its pieces
            assert estimated[fact] == declared[fact] or issubclass(entry, Surrogate)
        else:
            assert estimated[fact] == pytest.approx(declared[fact], rel=1e-6, abs=1e-6), fact


@pytest.mark.parametrize(
    ("expression", "facts"),
    [
        (
            "mul(x,sigmoid(x))",
            {
                "smoothness": math.inf,
                "derivative_bound": 1.09983932,
                "minimum": -0.278464543,
                "right": 1.0,
            },
        ),
        (
            "min(abs(x),cos(x))",
            {
                "smoothness": 0,
                "derivative_bound": 1.0,
                "minimum": -1.0,
                "even": True,
                "monotone": False,
            },
        ),
        (
            "add(tanh(x),mul(x,0.3))",
            {"bijective": True, "odd": True, "left": 0.3, "right": 0.3, "maximum": math.inf},
        ),
        (
            "div(x,add(1,abs(x)))",
            {"smoothness": 1, "minimum": -1.0, "maximum": 1.0, "bijective": True, "left": 0.0},
        ),
        (
            "max(x,0)",
            {
                "pieces": 2,
                "positively_homogeneous": True,
                "convex": True,
                "minimum": 0.0,
                "bijective": False,
            },
        ),
        (
            "exp(x)",
            {
                "smoothness": math.inf,
                "minimum": 0.0,
                "maximum": math.inf,
                "right": math.inf,
                "derivative_bound": math.inf,
            },
        ),
        ("reciprocal(x)", {"smoothness": -1, "derivative_bound": math.inf}),
        ("sqrtabs(x)", {"smoothness": 0, "derivative_bound": math.inf}),
    ],
)
def test_facts_of_expressions(expression, facts):
    found = properties(expression)
    for fact, value in facts.items():
        assert found.fact(fact) == pytest.approx(value, rel=1e-6, abs=1e-6), fact
    assert found.declared == frozenset()


def test_scope_of_learned_parameters():
    every, initial = properties("prelu"), properties("prelu", scope="initial value")
    assert (every.scope, initial.scope, properties("relu").scope) == (
        "every value",
        "initial value",
        "fixed",
    )
    assert properties("prelu", learn=()).scope == "fixed"
    assert not every.monotone
    assert initial.monotone
    assert every.derivative_bound == math.inf
    assert initial.derivative_bound == 1.0
    assert math.isnan(every.left)
    assert initial.left == 0.25
    assert every.right == 1.0
    assert every.kappa == initial.kappa
    assert properties("learnable_leaky_relu").monotone
    assert properties("learnable_leaky_relu").bijective
    assert not properties("learnable_leaky_relu").convex
    assert round(properties("swish").derivative_bound, 4) == 1.0998
    assert properties("snake").monotone
    with pytest.raises(InvalidValueError, match="scope must be"):
        properties("prelu", scope="all")  # type: ignore[arg-type]


# Learned, but with facts of the initial value: what a declaration cannot say for every value.
ONLY_INITIAL = {
    "bspline",
    "mixture",
    "piecewise_linear",
    "rational",
    "rational_quadratic_spline",
    "sinh_arcsinh",
}
LEARNED = [name for name, entry in catalogue().items() if entry().has_learned()]


def test_what_has_facts_of_its_initial_value_only_is_listed():
    assert {name for name in LEARNED if properties(name).scope != "every value"} == ONLY_INITIAL


@pytest.mark.parametrize("name", sorted(set(LEARNED) - ONLY_INITIAL))
def test_facts_of_every_value_hold_at_random_values(name):
    """At any allowed values, what is declared is no weaker than the facts for every value."""
    entry = catalogue()[name]
    weakest = properties(name)
    assert weakest.scope == "every value"
    module = entry()
    for _ in range(40):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.normal_(std=3.0)
        values = {
            key: float(v.detach()) if isinstance(v, torch.Tensor) else v
            for key, v in module.current().items()
        }
        facts = entry.declare(**values)
        for fact in STRUCTURAL:
            stated, here = getattr(weakest, fact), facts[fact]
            if fact in ("minimum", "smoothness"):
                assert stated <= here, fact
            elif fact in ("maximum", "derivative_bound"):
                assert stated >= here, fact
            elif isinstance(here, bool):
                assert here or not stated, fact
            elif fact == "pieces":
                assert stated is None or stated >= here
            else:
                assert math.isnan(stated) or stated == here, fact


def test_safe_range_and_cost():
    square, relu = properties("square"), properties("relu")
    assert square.safe_range["float16"] == pytest.approx(256, rel=0.01)
    assert relu.safe_range["float16"] == 65504
    assert properties("attenuation").safe_range["float32"] == pytest.approx(88.7, abs=0.1)
    assert relu.cost == 1
    assert relu.cost < properties("silu").cost < properties("serf").cost


class Counted(Activation):
    """A tanh that counts how often it is evaluated, and on how many elements."""

    name = "counted"
    formula = "tanh(x)"
    calls: ClassVar[list[int]] = []

    def function(self, x):
        self.calls.append(x.numel())
        return torch.tanh(x)


def test_facts_come_back_without_being_computed_again():
    Counted.calls.clear()
    first = properties(Counted())
    assert Counted.calls
    Counted.calls.clear()
    assert properties(Counted()) is first
    assert not Counted.calls


def test_facts_take_few_evaluations():
    """A hundred evaluations of some 100,000 elements in all: milliseconds for any function."""
    Counted.calls.clear()
    properties(Counted(), scope="initial value")
    assert 0 < len(Counted.calls) < 100
    assert sum(Counted.calls) < 100_000


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(UnknownNameError, match=r"nearest: .*relu"):
        properties("rleu")


def test_derivative_of_what_does_not_depend_on_x():
    x = torch.zeros(3, dtype=torch.float64)
    assert torch.equal(derivative(torch.ones_like, x), torch.zeros_like(x))
