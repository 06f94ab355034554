"""Approximations keep their stated largest error, and state it tightly."""

import pytest
import torch

from actsearch.activations import activation, catalogue
from actsearch.activations.registry import family

NAMES = [name for name, entry in catalogue().items() if family(entry) == "approximation"]


def largest_error(name, other, **values):
    x = torch.cat([torch.linspace(-12, 12, 960_001), torch.linspace(12, 1000, 1001)]).double()
    x = torch.cat([x, -x])
    return float(
        (activation(name, **values).double()(x) - activation(other).double()(x)).abs().max()
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_stated_error_holds_and_is_tight(name):
    entry = catalogue()[name]
    error = largest_error(name, entry.approximates)
    assert error <= entry.maximum_error < 1.01 * error + 1e-4


def test_gelu_by_tanh():
    assert 4.7e-4 < largest_error("gelu", "gelu", approximate="tanh") < 4.8e-4
