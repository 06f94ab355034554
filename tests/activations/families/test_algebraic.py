"""Algebraic functions where a form of theirs could go wrong."""

import pytest
import torch

from actsearch.activations import activation


@pytest.mark.parametrize("learn", [(), ("b",)])
def test_squareplus_is_smooth_at_zero(learn):
    x = torch.tensor([0.0, -0.0], dtype=torch.float64, requires_grad=True)
    y = activation("squareplus", b=4.0, learn=learn).double()(x)
    (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    assert y.tolist() == pytest.approx([1.0, 1.0], rel=1e-6)
    assert first.tolist() == pytest.approx([0.5, 0.5], rel=1e-6)
    assert second.tolist() == pytest.approx([0.25, 0.25], rel=1e-6)


def test_squareplus_does_not_cancel():
    x = torch.tensor([-1e4, -100.0])
    torch.testing.assert_close(activation("squareplus")(x), -1 / x, rtol=1e-3, atol=0)
