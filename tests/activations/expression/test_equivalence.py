"""Two activations are the same where their values are, whatever their texts say."""

import pytest

from actsearch.activations import activation, catalogue
from actsearch.activations.expression.equivalence import (
    distinct,
    equivalent,
    fingerprint,
    fingerprints,
)
from actsearch.activations.expression.generate import pool

SAME = [
    ("add(x,tanh(x))", "add(tanh(x),x)"),
    ("swish(x)", "mul(x,sigmoid(x))"),
    ("sigmoid(x)", "add(0.5,mul(0.5,tanh(div(x,2))))"),
    ("max(x,0)", "relu"),
    ("sub(x,negative(x))", "mul(2,x)"),
    ("div(x,x)", "add(1,mul(0,x))"),
    ("pow(x,2)", "square(x)"),
    ("log(exp(x))", "x"),
    ("mul(a,x)", "mul(x,b)"),
    ("add(mul(a,x),b)", "add(c,mul(x,a))"),
]
DIFFERENT = [
    ("tanh(x)", "tanh(mul(1.00001,x))"),
    ("relu(x)", "leaky_relu(x)"),
    ("sqrt(x)", "sqrtabs(x)"),
    ("min(x,15)", "x"),
    ("gelu(x)", "silu(x)"),
    ("exp(x)", "min(exp(x),1000)"),
]


@pytest.mark.parametrize(("first", "second"), SAME)
def test_same_functions(first, second):
    assert equivalent(first, second)
    assert fingerprint(first) == fingerprint(second)


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_different_functions(first, second):
    assert not equivalent(first, second)
    assert fingerprint(first) != fingerprint(second)


def test_what_is_learned_is_part_of_the_function():
    assert equivalent("mul(a,x)", "x")  # at the start values they are
    assert fingerprint("mul(a,x)") != fingerprint("x")
    assert fingerprint(activation("mul(a,x)", learn=[])) == fingerprint("x")
    assert fingerprint(activation("mul(a,x)", learn=[], a=2.0)) == fingerprint("mul(2,x)")
    assert fingerprint("mul(a,x)") != fingerprint("mul(a,square(x))")
    assert fingerprint(activation("prelu")) != fingerprint(
        activation("leaky_relu", negative_slope=0.25)
    )
    assert fingerprint(activation("prelu", learn=[])) == fingerprint(
        activation("leaky_relu", negative_slope=0.25)
    )


def test_steps_are_told_apart_by_their_surrogate_gradients():
    steps = [name for name, cls in catalogue().items() if cls.facts.get("smoothness") == -1]
    assert len(steps) >= 8
    assert len(distinct(steps)) == len(steps)
    assert not equivalent("straight_through", "sigmoid_surrogate")
    assert equivalent("sigmoid_surrogate", activation("sigmoid_surrogate", learn=()))
    sharper = activation("sigmoid_surrogate", learn=(), sharpness=3.0)
    assert fingerprint(sharper) != fingerprint(activation("sigmoid_surrogate", learn=()))


def test_the_tolerance_is_the_callers():
    assert not equivalent("tanh(x)", "tanh(mul(1.001,x))")
    assert equivalent("tanh(x)", "tanh(mul(1.001,x))", tolerance=1e-2)


def test_a_key_does_not_depend_on_its_company():
    texts = pool(40, 3, seed=2, learnable=True)
    assert fingerprints(texts) == [fingerprint(text) for text in texts]


def test_distinct_keeps_the_first():
    assert distinct(["add(x,tanh(x))", "sin(x)", "add(tanh(x),x)", "swish(x)", "silu"]) == [
        "add(x,tanh(x))",
        "sin(x)",
        "swish(x)",
    ]


@pytest.mark.long
def test_a_pool_of_1600_has_as_many_keys():
    assert len(set(fingerprints(pool(1600, 4, seed=3)))) == 1600
