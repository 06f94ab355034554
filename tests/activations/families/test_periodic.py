"""Periodic functions at the edge of what their frequency may be."""

import torch

from actsearch.activations.families.periodic import Snake


def test_a_learned_frequency_that_has_come_down_to_zero():
    x = torch.linspace(-5, 5, 32, requires_grad=True)
    frequency = torch.zeros(1, requires_grad=True)
    y = Snake().function(x, frequency)
    torch.testing.assert_close(y, x)
    slope, moved = torch.autograd.grad(y.sum(), (x, frequency))
    torch.testing.assert_close(slope, torch.ones_like(x))
    assert moved.isfinite().all()
