"""The laws of a measure find what breaks them."""

from __future__ import annotations

import math
import random

import pytest
import torch

from actsearch.errors import MeasureError
from actsearch.measures import Measure
from actsearch.measures.laws import MeasureLaws


class Norm(Measure):
    """Norm of all weights."""

    name = "norm"
    direction = "min"

    def __call__(self, fitted):
        weights = [p for p in fitted.module.parameters() if p.ndim == 2]
        return sum(float(p.detach().square().sum()) for p in weights) ** 0.5


class Nameless(Norm):
    name = "Norm of weights"


class Optional(Norm):
    def __init__(self, power=2):
        self.power = power


class Infinite(Norm):
    def __call__(self, fitted):
        return math.inf


class LateRefusal(Norm):
    """Refuses what its check has let pass."""

    def __call__(self, fitted):
        if any(site.activation == "tanh" for site in fitted.sites):
            raise MeasureError("norm must have no tanh, but got one.")
        return super().__call__(fitted)


class EarlyRefusal(Norm):
    """Refuses what it can measure."""

    def check(self, fitted):
        if any(site.activation == "tanh" for site in fitted.sites):
            raise MeasureError("norm must have no tanh, but got one.")


class Remembering(Norm):
    def __call__(self, fitted):
        self.calls = getattr(self, "calls", 0) + 1
        return self.calls


class Drawing(Norm):
    def __call__(self, fitted):
        return random.SystemRandom().random()


class Touching(Norm):
    def __call__(self, fitted):
        with torch.no_grad():
            next(fitted.module.parameters()).add_(1)
        return super().__call__(fitted)


class Freezing(Norm):
    def __call__(self, fitted):
        fitted.module.requires_grad_(False)
        return super().__call__(fitted)


class Watching(Norm):
    def __call__(self, fitted):
        fitted.module.register_forward_hook(lambda *_: None)
        return super().__call__(fitted)


def larger(module):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(2)


def laws(measure, known=2.0, unchanged_by=()):
    members = {"measure": measure, "known": {"norm": known}, "unchanged_by": unchanged_by}
    return type("Laws", (MeasureLaws,), members)()


def obey(found):
    """Run every law."""
    found.test_name_direction_needs_and_time_are_declared()
    found.test_options_have_a_type_a_default_and_a_line_in_the_docstring()
    found.test_a_wrong_option_is_told_in_one_line()
    found.test_values_are_finite_at_any_batch_size(7)
    for activation in ("relu", "tanh", "hardshrink"):
        found.test_what_has_no_finite_value_is_refused_with_a_reason(activation)
    found.test_a_module_that_was_solved_by_hand_has_the_known_values()
    found.test_the_same_module_has_the_same_values()
    found.test_the_module_and_random_numbers_are_left_as_they_were()
    found.test_an_unmet_need_is_told_in_one_line()
    if found.unchanged_by:
        found.test_values_are_blind_to_what_the_definition_is_blind_to()


def test_one_that_keeps_them_passes():
    obey(laws(Norm))
    obey(laws(Norm, unchanged_by=[lambda module: module.head.bias.data.add_(1)]))


@pytest.mark.parametrize(
    "broken",
    [
        laws(Nameless),
        laws(Optional),
        laws(Infinite),
        laws(LateRefusal),
        laws(EarlyRefusal),
        laws(Remembering, known=1.0),
        laws(Drawing),
        laws(Touching),
        laws(Freezing),
        laws(Watching),
        laws(Norm, known=3.0),
        laws(Norm, unchanged_by=[larger]),
    ],
    ids=lambda found: f"{found.measure.__name__}, {found.known}",
)
def test_one_that_breaks_a_law_fails(broken):
    with pytest.raises((AssertionError, MeasureError, pytest.fail.Exception)):
        obey(broken)


def test_nothing_known_is_no_excuse():
    found = laws(Norm)
    found.known = {}
    with pytest.raises(AssertionError, match="known must have what the measure comes to"):
        found.test_a_module_that_was_solved_by_hand_has_the_known_values()
