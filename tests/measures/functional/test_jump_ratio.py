"""Jumps are told from what is only steep."""

import pytest
import torch

from actsearch.errors import InvalidValueError
from actsearch.measures.functional.jump_ratio import jump_ratio


def smooth(t):
    return (7 * t).sin() + t.exp()


def power(n):
    """A curve whose n-th derivative jumps at an odd place, on top of a larger smooth one."""
    return lambda t: 10 * smooth(t) + (t - 0.35791).relu() ** n


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_it_is_1_where_a_derivative_up_to_the_order_jumps_and_a_tenth_elsewhere(n, order):
    found = jump_ratio([power(n)], order, cells=100)
    assert found > 0.95 if n <= order else found == pytest.approx(0.1, rel=1e-2)


def test_a_jump_of_the_value_counts_too():
    assert jump_ratio([lambda t: smooth(t) + (t > 0.35).double()]) == pytest.approx(1, rel=1e-3)


def test_one_kinked_curve_among_smooth_ones_is_found():
    assert jump_ratio([smooth, power(1), smooth]) == pytest.approx(1, rel=1e-3)
    assert jump_ratio([smooth, smooth]) == pytest.approx(0.1, rel=1e-2)


def test_many_kinks_in_a_cell_are_told_from_none():
    places = torch.linspace(0.01, 0.99, 2000, dtype=torch.float64)
    kinked = lambda t: (t[..., None] - places).relu().sum(-1)  # noqa: E731
    assert jump_ratio([kinked], cells=30) > 0.9


def test_steep_is_not_kinked():
    assert jump_ratio([lambda t: (300 * (t - 0.4)).tanh()], order=2) < 0.15


def test_nothing_changes_along_a_line():
    assert jump_ratio([lambda t: 0 * t + 3.0], order=2) == 0
    # Of a line the value changes, and its derivatives but by rounding.
    assert jump_ratio([lambda t: 0.3 * (0.1 * t + 0.7)], order=2) == pytest.approx(0.1)


def test_scale_and_offset_play_no_part():
    for scale in (1e-9, 1e9):
        found = jump_ratio([lambda t, s=scale: s * (power(1)(t) + 5)])
        assert found == pytest.approx(jump_ratio([power(1)]), rel=1e-6)


def test_what_is_not_finite_is_refused_in_one_line():
    with pytest.raises(InvalidValueError, match="finite values and derivatives, but got inf"):
        jump_ratio([lambda t: t.sqrt()])
