"""What every result must fulfil: facts of activations, and bounds on metrics."""

from __future__ import annotations

import pytest

from actsearch.errors import InvalidValueError
from actsearch.search.study.constraints import Bound, split


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("latency <= 0.5", Bound("latency", 1, 0.5)),
        ("val/accuracy>=9e-1", Bound("val/accuracy", -1, 0.9)),
        (" speed@cpu >= -2 ", Bound("speed@cpu", -1, -2.0)),
    ],
)
def test_a_bound_is_read_and_written(text, bound):
    assert Bound.parse(text) == bound
    assert Bound.parse(str(bound)) == bound


@pytest.mark.parametrize(
    "text", ["latency", "latency < 0.5", "latency <= much", "<= 1", "a <= 1-1"]
)
def test_another_form_is_refused_with_the_value(text):
    with pytest.raises(InvalidValueError) as raised:
        Bound.parse(text)
    assert str(raised.value).endswith(f"METRIC <= NUMBER, but got {text!r}.")


@pytest.mark.parametrize(
    ("text", "value", "by"),
    [
        ("a <= 2", 3.0, 1.0),
        ("a <= 2", 2.0, 0.0),
        ("a <= 2", 1.5, -0.5),
        ("a >= 2", 1.5, 0.5),
        ("a >= 2", 3.0, -1.0),
    ],
)
def test_a_violation_is_positive_where_the_bound_is_broken(text, value, by):
    assert Bound.parse(text).violation(value) == by


def test_facts_and_bounds_are_told_apart():
    texts = ["bounded", "latency <= 0.5", "derivative_bound <= 1 and not odd", "val_loss <= 2"]
    requirement, bounds = split(texts)
    assert requirement == "(bounded) and (derivative_bound <= 1 and not odd)"
    assert bounds == [Bound("latency", 1, 0.5), Bound("val_loss", 1, 2.0)]


def test_without_texts_nothing_is_required():
    assert split([]) == ("", [])
