import pytest
import torch

from actsearch.errors import InvalidValueError
from actsearch.measures.functional.gradient_variance import gradient_variance


def test_is_the_trace_of_the_covariance():
    torch.manual_seed(0)
    noise = torch.randn(200, 3, dtype=torch.float64)
    w = torch.ones(3, dtype=torch.float64, requires_grad=True)
    unused = torch.ones(2, dtype=torch.float64, requires_grad=True)
    found = gradient_variance(lambda k: (w * noise[k]).sum(), [w, unused], draws=200)
    assert found == pytest.approx(float(torch.cov(noise.T).trace()), rel=1e-12)


def test_is_0_without_noise_and_refuses_one_draw():
    w = torch.ones(3, requires_grad=True)
    assert gradient_variance(lambda k: w.square().sum(), [w]) == 0
    with pytest.raises(InvalidValueError, match="draws must be at least 2, but got 1"):
        gradient_variance(lambda k: w.sum(), [w], draws=1)
