"""Parameters, options, and what an activation refuses."""

import pytest
import torch

from actsearch.activations import Activation, Option, Parameter, activation, from_spec
from actsearch.activations.base import Value
from actsearch.errors import InvalidValueError, UnknownNameError


def test_a_parameter_out_of_its_constraint_is_refused():
    with pytest.raises(InvalidValueError, match=r"beta must be in GreaterThan.* but got -1"):
        activation("swish", beta=-1)
    for value in (float("nan"), float("inf"), "1", True, None):
        with pytest.raises(InvalidValueError, match="alpha must be a finite number"):
            activation("elu", alpha=value)


def test_bounds_of_constraints():
    assert Parameter(0.0).bounds == (-float("inf"), float("inf"))
    assert activation("swish").arguments["beta"].bounds == (0.0, float("inf"))
    assert activation("hill").arguments["coefficient"].bounds == (1.0, float("inf"))


def test_an_option_has_choices():
    assert Option("a", ("a", "b")).check("o", "b") == "b"
    with pytest.raises(
        InvalidValueError, match=r"approximate must be one of \['none', 'tanh'\], but got 'erf'"
    ):
        activation("gelu", approximate="erf")


def test_unknown_values_and_sharing_are_refused():
    with pytest.raises(UnknownNameError, match="nearest: negative_slope"):
        activation("leaky_relu", negative_slop=0.1)
    with pytest.raises(InvalidValueError, match="share must be"):
        activation("prelu", share="neuron")
    with pytest.raises(InvalidValueError, match="channels must be given"):
        activation("prelu", share="channel")


def test_what_has_no_gradient_cannot_be_learned():
    with pytest.raises(UnknownNameError, match="unknown learnable parameter of hardshrink 'lambd'"):
        activation("hardshrink", learn=["lambd"])


def test_a_learned_parameter_must_start_inside():
    with pytest.raises(InvalidValueError, match="lambd must start inside of"):
        activation("softshrink", lambd=0.0, learn=["lambd"])
    assert activation("softshrink", lambd=0.0)(torch.tensor([0.1])) == torch.tensor([0.1])


def test_bounds_in_order():
    with pytest.raises(InvalidValueError, match="min_val must be below max_val"):
        activation("hardtanh", min_val=1.0, max_val=0.0)
    with pytest.raises(InvalidValueError, match="lower must not exceed upper"):
        activation("rrelu", lower=0.5, upper=0.1)


def test_training_cannot_leave_the_constraint():
    swish = activation("swish")
    optimizer = torch.optim.SGD(swish.parameters(), lr=0.1)
    x = torch.randn(64)
    for _ in range(20):
        optimizer.zero_grad()
        (swish(x) ** 2).sum().backward()
        optimizer.step()
        assert swish.current()["beta"] > 0


@pytest.mark.parametrize("name", ["swish", "prelu", "acon_c", "tempered_tanh"])
def test_the_dtype_is_kept_under_autocast(name):
    layer = torch.nn.Sequential(torch.nn.Linear(4, 4), activation(name))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(torch.randn(3, 4)).dtype == torch.bfloat16


def test_references_are_read_from_the_docstring():
    entry = activation("relu")
    assert entry.reference.startswith(
        "Rectified Linear Units Improve Restricted Boltzmann Machines"
    )
    assert entry.reference.endswith("432.pdf")
    assert activation("identity").reference == ""

    class Undocumented(Activation):
        name = "undocumented"

        def function(self, x: torch.Tensor, a: Value = 1.0) -> torch.Tensor:
            return x

    assert Undocumented.reference == ""
    assert Undocumented.declare() == {}


def test_repr_shows_what_was_passed():
    assert repr(activation("elu", alpha=0.5)) == "ELU(alpha=0.5)"
    shown = repr(activation("prelu", share="channel", channels=3))
    assert (
        shown == "PReLU(negative_slope=0.25, learn=['negative_slope'], share='channel', channels=3)"
    )


def test_repr_shows_what_was_learned():
    one, three = activation("prelu"), activation("swish", share="channel", channels=3)
    shaped = activation("rational")
    with torch.no_grad():
        one.raw_negative_slope.fill_(-0.0996)
        three.raw_beta += torch.tensor([0.0, 0.5, -0.3])
        shaped.coefficients.copy_(torch.linspace(-2, 3, 10))
    assert repr(one) == "PReLU(negative_slope=-0.0996, learn=['negative_slope'])"
    assert "beta=0.7408..1.649, learn" in repr(three)
    assert "10 learned from -2 to 3" in repr(shaped)
    with torch.device("meta"):
        assert repr(activation("prelu")) == "PReLU(negative_slope=0.25, learn=['negative_slope'])"
        assert "learned" not in repr(activation("rational")), "it has no numbers"


@pytest.mark.parametrize(
    "name", ["prelu", "swish", "rational", "mixture", "relu", "mul(x,add(a,b))"]
)
def test_rebuilt_with_other_arguments(name):
    module = activation(name, share="channel", channels=3)
    assert module.rebuilt().spec() == module.spec()
    alone = module.rebuilt(share="layer")
    assert alone.spec().get("channels") is None
    assert not module.rebuilt(learn=()).has_learned()


def test_parameters_are_told_from_what_stands_beside_them():
    with pytest.raises(
        InvalidValueError,
        match=(
            r"parameters of prelu must be its own, but got 'learn' among them. Write learn beside"
            r" them"
        ),
    ):
        from_spec({"activation": "prelu", "parameters": {"learn": ["negative_slope"]}})
    with pytest.raises(UnknownNameError, match="unknown parameter of relu 'self'"):
        activation("relu", **{"self": 1})
