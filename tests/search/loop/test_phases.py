"""Which learning rate the baseline is tried at next."""

from __future__ import annotations

import math

import pytest

from actsearch.search.loop.phases import next_factor


def test_the_next_learning_rate_is_beside_the_first_then_beyond_a_best_at_an_end():
    tried = {}
    for loss in (0.5, 0.4, 0.6, 0.3, 0.35):
        tried[next_factor(tried)] = loss
    assert list(tried) == pytest.approx([1, 3, 1 / 3, 9, 27])
    assert next_factor(tried) is None, "the best lies inside"
    assert next_factor({1.0: 0.5, 3.0: math.inf, 1 / 3: 0.4}) == pytest.approx(1 / 9)
    assert next_factor({1.0: 0.4, 3.0: math.inf, 1 / 3: 0.5}) is None
    worse_and_worse = {3.0**k: -k for k in range(5)} | {1 / 3: 1}
    assert next_factor(worse_and_worse) is None, "81 is the largest"
