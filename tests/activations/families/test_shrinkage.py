"""Thresholds that are learned act as those that are fixed."""

import pytest
import torch

from actsearch.activations import activation


@pytest.mark.parametrize("name", ["softshrink", "clip", "clipped_relu"])
def test_learned_and_fixed_agree_in_value_and_slope_at_zero_too(name):
    x = torch.tensor([0.0, -0.0, 0.3, -0.3, 2.0, -2.0, 1e4, -1e4], requires_grad=True)
    (parameter,) = activation(name).arguments
    fixed, learned = activation(name, learn=()), activation(name, learn=[parameter])
    assert torch.equal(learned(x), fixed(x))
    slopes = [torch.autograd.grad(φ(x).sum(), x)[0] for φ in (fixed, learned)]
    assert torch.equal(*slopes)
