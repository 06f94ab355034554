"""Derived facts, and complete declarations."""

import math

import pytest

from actsearch.activations import properties
from actsearch.activations.properties.properties import FACTS, STRUCTURAL, known
from actsearch.errors import UnknownNameError


def test_derived_facts():
    relu, tanh = properties("relu"), properties("tanh")
    assert (relu.bounded, relu.positive, relu.binaries, relu.non_expansive) == (
        False,
        True,
        1,
        True,
    )
    assert (tanh.bounded, tanh.positive, tanh.binaries) == (True, False, None)
    assert not properties("silu").non_expansive
    assert all(relu.fact(name) is not None for name in FACTS)
    with pytest.raises(AttributeError):
        relu.fact("colour")


def test_a_declaration_is_complete():
    facts = known(
        "odd monotone", smoothness=0, slope=1, values=(-1, 1), asymptotes=(0, 0), kappa=2.0
    )
    assert set(facts) == {*STRUCTURAL, "kappa"}
    assert facts["odd"]
    assert not facts["even"]


def test_a_declaration_of_no_fact_is_refused():
    facts = {"smoothness": 0, "slope": 1, "values": (-1, 1), "asymptotes": (0, 0)}
    with pytest.raises(UnknownNameError, match="unknown yes-or-no fact 'convx'; nearest: convex"):
        known("convx", **facts)
    with pytest.raises(UnknownNameError, match="unknown fact of an activation 'kapa'"):
        known("convex", kapa=2.0, **facts)


def test_what_is_declared_is_named():
    relu = properties("relu")
    assert {"smoothness", "monotone"} <= relu.declared
    assert "kappa" not in relu.declared
    assert relu.scope == "fixed"
    assert math.isfinite(relu.cost)
