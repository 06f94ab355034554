"""Operations are counted as torch runs them."""

import torch

from actsearch.activations import activation
from actsearch.activations.properties.cost import cost


def test_counts():
    assert cost(lambda x: x) == 0
    assert cost(lambda x: x + 1) == 1
    assert cost(lambda x: (x + 1) * x) == 2
    assert cost(lambda x: x / (1 + x.abs())) == 1 + 1 + 4
    assert cost(torch.tanh) == 10
    assert cost(activation("silu", learn=())) == 16
    assert cost(lambda x: x.sum() * 2) == 0  # not elementwise


def test_approximations_cost_less_than_what_they_stand_for():
    for cheap, dear in (
        ("quadratic_tanh", "tanh"),
        ("quadratic_sigmoid", "sigmoid"),
        ("hardswish", "silu"),
    ):
        assert cost(activation(cheap)) < cost(activation(dear))
