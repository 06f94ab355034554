"""The linear pieces of what the catalogue has, of learned channels, and of what has none."""

import numpy as np
import pytest
import torch

from actsearch import activation, properties
from actsearch.activations.registry import catalogue
from actsearch.measures.functional.pieces import pieces


def continuous(facts):
    return facts.pieces is not None and facts.smoothness >= 0


@pytest.mark.parametrize("name", catalogue())
def test_an_activation_has_the_pieces_that_the_catalogue_says(name):
    φ = activation(name).double().eval()
    facts, found = properties(φ), pieces(φ)
    assert bool(found) == continuous(facts)
    if found:
        (lines,) = found
        assert len(lines.slopes) == facts.pieces
        x = torch.linspace(-20, 20, 1001, dtype=torch.float64)
        assert np.allclose(lines(x.numpy()), φ(x).detach().numpy(), rtol=1e-8, atol=1e-9)


def test_each_channel_has_its_own():
    prelu = activation("prelu", share="channel", channels=3).double()
    with torch.no_grad():
        prelu.raw_negative_slope.copy_(torch.tensor([0.1, 1.0, -2.0]))
    found = pieces(prelu, (3, 1))
    for lines, expected in zip(found, [[0.1, 1.0], [1.0], [-2.0, 1.0]], strict=True):
        assert lines.slopes == pytest.approx(expected)


@pytest.mark.parametrize("text", ["max(x,mul(0.5,x))", "min(0.5,x)", "abs(sub(abs(x),1.0))"])
def test_of_a_formula(text):
    (lines,) = pieces(activation(text).double())
    x = np.linspace(-3, 3, 301)
    expected = {
        "max(x,mul(0.5,x))": np.maximum(x, x / 2),
        "min(0.5,x)": np.minimum(0.5, x),
        "abs(sub(abs(x),1.0))": abs(abs(x) - 1),
    }[text]
    assert np.allclose(lines(x), expected)


@pytest.mark.parametrize("sharpness", [1.0, 1e2, 1e3])
def test_what_bends_sharply_is_no_kink(sharpness):
    assert pieces(lambda x: torch.nn.functional.softplus(x, beta=sharpness, threshold=1e9)) == []
