"""The largest second derivative, against closed forms."""

import math

import pytest
import torch
from torch import nn

from actsearch.activations import activation
from actsearch.measures.functional.by_channel import by_channel
from actsearch.measures.functional.curvature import curvature


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sigmoid", 3**0.5 / 18),
        ("tanh", 4 / 27**0.5),
        ("softplus", 1 / 4),
        ("silu", 1 / 2),
        ("gelu", (2 / math.pi) ** 0.5),
        ("sine", 1),
        ("gaussian", 2),
        ("softsign", 2),  # it jumps from 2 to -2 at 0
        ("elu", 1),  # from 1 to 0
        ("identity", 0),
        ("square", 2),
    ],
)
def test_it_is_the_closed_form(name, expected):
    assert curvature(activation(name).double()) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("name", ["relu", "abs", "hardsigmoid", "hardshrink", "sigmoid_surrogate"])
def test_at_a_kink_or_a_jump_it_is_infinite(name):
    assert curvature(activation(name).double()) == math.inf


def test_what_grows_for_ever_has_none():
    assert curvature(lambda x: x**3) == math.inf


def test_a_steeper_function_bends_by_the_square():
    for scale in (0.2, 5.0):
        found = curvature(lambda x, scale=scale: (scale * x).tanh())
        assert found == pytest.approx(scale**2 * 4 / 27**0.5, rel=1e-6)


@pytest.mark.parametrize("channel_dim", [1, 2, -1, -2])
def test_channels_are_functions_of_their_own(channel_dim):
    φ = activation("swish", learn=["beta"], share="channel", channels=3, channel_dim=channel_dim)
    with torch.no_grad():
        φ.raw_beta.copy_(φ.raw_beta + torch.tensor([0.0, 0.5, 1.0]))
    x = torch.linspace(-2, 2, 5, dtype=torch.float64)
    functions = by_channel(φ)
    betas = φ.current()["beta"].detach().double()
    assert len(functions) == 3
    for function, beta in zip(functions, betas, strict=True):
        torch.testing.assert_close(function(x), x * (beta * x).sigmoid())
        # x σ(βx) bends by β / 2 at 0.
        assert curvature(function) == pytest.approx(float(beta) / 2, rel=1e-6)
    assert φ.raw_beta.dtype == torch.float32, "it stays as it is"


def test_what_all_channels_share_is_one_function():
    assert by_channel(torch.tanh) == [torch.tanh]
    module = nn.PReLU()
    (function,) = by_channel(module)
    x = torch.tensor([-2.0, 3.0], dtype=torch.float64)
    assert function(x).tolist() == [-0.5, 3.0]
    assert module.weight.dtype == torch.float32
