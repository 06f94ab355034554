"""The check of one function on a range."""

import math

import pytest
import torch

from actsearch.activations.trainability import check_function
from actsearch.errors import InvalidValueError


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("log(x)", "not finite: the value is nan at -2"),
        ("sqrtabs(x)", "not finite: the derivative is nan at 0"),
        ("min(-9,x)", "constant: its values on [-2, 2] span 0"),
        ("exp(mul(20,mul(x,square(x))))", "not finite: the value is inf at"),
    ],
)
def test_what_is_refused(function, reason):
    verdict = check_function(function, -2.0, 2.0)
    assert not verdict.passed
    assert verdict.reason.startswith(reason)


def test_a_pole_between_two_points():
    assert check_function("reciprocal(sub(x,0.3331))", -2.0, 2.0).reason.startswith("pole")
    assert check_function("mul(30,tanh(x))", -2.0, 2.0).passed  # steep, but no pole


def test_second_derivative():
    assert check_function("relu", -1, 1, order=2).passed
    function = "mul(square(x),sqrtabs(x))"
    assert check_function(function, 0.01, 1, order=2).passed
    assert check_function("pow(add(x,1),1.5)", -1, 1, order=1).passed
    assert "second derivative" in check_function("pow(add(x,1),1.5)", -1, 1, order=2).reason


def test_zero_counts_where_the_input_can_be_zero():
    assert not check_function("div(x,x)", -1, 1)
    assert check_function("mul(x,div(x,x))", -1, 1, zero=False).passed


@pytest.mark.parametrize(
    ("low", "high"), [(1.0, 1.0), (2.0, 1.0), (math.nan, 1.0), (0.0, math.inf)]
)
def test_a_range_that_is_none(low, high):
    with pytest.raises(InvalidValueError, match="range must have finite low < high"):
        check_function("relu", low, high)


def test_overflow_depends_on_the_dtype():
    assert check_function("exp(square(x))", -12, 12, torch.float64).passed
    assert check_function("exp(square(x))", -12, 12, torch.float32).reason.startswith("not finite")
