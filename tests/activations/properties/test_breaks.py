"""Jumps are found where they are, of the order that they have."""

import math

import pytest
import torch

from actsearch.activations.properties.breaks import derivatives, find_breaks, grid, smoothness

CASES = {
    "step at 1/3": (lambda x: (x > 1 / 3).to(x.dtype), -1, 1 / 3),
    "kink at √2": (lambda x: (x - math.sqrt(2)).abs(), 0, math.sqrt(2)),
    "small kink on a steep line": (lambda x: 50 * x + 0.01 * torch.relu(x - 0.7), 0, 0.7),
    "bend at -2": (lambda x: torch.relu(x + 2).square(), 1, -2.0),
    "cube at 0": (lambda x: torch.relu(x) ** 3, 2, 0.0),
    "far kink": (lambda x: torch.clamp(x, max=400.0), 0, 400.0),
    "root at 0": (lambda x: x.abs().sqrt(), 0, 0.0),
}


@pytest.mark.parametrize("name", CASES)
def test_a_jump_is_found(name):
    function, order, place = CASES[name]
    x = grid()
    breaks = find_breaks(function, x, derivatives(function, x, 3))
    assert smoothness(breaks) == order
    first = [found for found in breaks if found.order == order + 1]
    assert any(found.below - 1e-9 <= place <= found.above + 1e-9 for found in first)


@pytest.mark.parametrize(
    "function", [torch.tanh, torch.sin, torch.exp, lambda x: torch.sin(20 * x), lambda x: x**3]
)
def test_none_is_found_in_smooth_functions(function):
    x = torch.linspace(-12, 12, 4000, dtype=torch.float64)
    assert find_breaks(function, x, derivatives(function, x, 3)) == []


def test_many_kinks():
    x = grid()
    breaks = find_breaks(
        lambda x: torch.sin(x).abs(), x, derivatives(lambda x: torch.sin(x).abs(), x, 1)
    )
    places = sorted(round(found.above / math.pi) for found in breaks if abs(found.above) < 12)
    assert set(places) == set(range(-3, 4))
