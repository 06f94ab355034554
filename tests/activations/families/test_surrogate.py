"""Surrogates: exactly the Heaviside step forward.

The stated derivative backward, for x and for the sharpness.
"""

import pytest
import torch

from actsearch.activations import activation, catalogue
from actsearch.activations.registry import family

NAMES = [name for name, entry in catalogue().items() if family(entry) == "surrogate"]
SHARPENED = [name for name in NAMES if "sharpness" in catalogue()[name].arguments]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_forward_is_exactly_the_step(name, dtype):
    x = torch.cat([torch.randn(1000), torch.tensor([0.0, -0.0, 1e-7, -1e-7, 1e4, -1e4])]).to(dtype)
    for φ in (activation(name), activation(name, learn=list(catalogue()[name].arguments))):
        assert torch.equal(φ(x.clone().requires_grad_()), (x > 0).to(dtype))
        with torch.no_grad():
            assert torch.equal(φ(x), (x > 0).to(dtype))


@pytest.mark.parametrize("name", SHARPENED)
def test_sharpness_is_learned_through_the_soft_step(name):
    φ = activation(name, learn=["sharpness"]).double()
    x = torch.randn(50, dtype=torch.float64)
    g = torch.randn(50, dtype=torch.float64)
    (found,) = torch.autograd.grad(φ(x), [φ.raw_sharpness], g)
    k = φ.values["sharpness"]
    step = 1e-6
    soft = (φ.soft_step(x, k + step) - φ.soft_step(x, k - step)) / (2 * step)
    expected = float((g * soft).sum()) * k  # the raw value is log k
    assert float(found) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", SHARPENED)
def test_sharpness_changes_the_backward_pass_alone(name):
    x = torch.randn(100, requires_grad=True)
    slopes = []
    for k in (0.5, 5.0):
        y = activation(name, sharpness=k)(x)
        assert torch.equal(y, (x > 0).float())
        slopes.append(torch.autograd.grad(y.sum(), x)[0])
    assert not torch.allclose(*slopes)
