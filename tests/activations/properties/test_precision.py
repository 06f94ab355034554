"""The range on which value and derivative are finite, by number format."""

import pytest
import torch

from actsearch.activations import activation
from actsearch.activations.properties.precision import DTYPES, safe_range


@pytest.mark.parametrize("name", ["square", "attenuation", "monotone_cubic", "softplus", "gelu"])
def test_inside_is_finite_and_just_outside_is_not(name):
    φ = activation(name, learn=()).eval()
    for dtype, radius in safe_range(φ.plain()).items():
        fixed = φ.plain().to(DTYPES[dtype])
        for factor, finite in ((0.999, True), (1.05, False)):
            x = torch.tensor([-radius * factor, radius * factor], dtype=torch.float64).to(
                DTYPES[dtype]
            )
            if not bool(x.isfinite().all()):
                continue
            x.requires_grad_()
            y = fixed(x)
            (slope,) = torch.autograd.grad(y.sum(), x)
            assert bool((y.isfinite() & slope.isfinite()).all()) is finite or radius > 1e4
