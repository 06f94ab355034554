"""Temperature and clip against data whose best values are known."""

import pytest
import torch
import torch.nn.functional as F

from actsearch.measures.functional.recalibration import fit_clip, fit_temperature


def drawn(count=20_000, classes=5):
    """Logits, and labels that are drawn from their softmax."""
    generator = torch.Generator().manual_seed(0)
    z = 2 * torch.randn(count, classes, generator=generator, dtype=torch.double)
    return z, torch.multinomial(z.softmax(1), 1, generator=generator).squeeze(1)


@pytest.mark.parametrize("factor", [0.1, 1.0, 3.0, 30.0])
def test_the_temperature_of_logits_is_the_factor_that_they_are_too_large_by(factor):
    z, labels = drawn()
    assert fit_temperature(factor * z, labels) == pytest.approx(factor, rel=0.02)


def test_at_the_temperature_the_loss_has_no_slope():
    z, labels = drawn(500)
    inverse = torch.tensor(1 / fit_temperature(3 * z, labels), requires_grad=True)
    (slope,) = torch.autograd.grad(F.cross_entropy(inverse * 3 * z, labels), inverse)
    assert abs(float(slope)) < 1e-3


def test_the_clip_is_none_where_logits_are_calibrated_and_bounds_those_that_are_too_large():
    z, labels = drawn()
    assert fit_clip(z, labels) > 0.8 * float(z.abs().max())
    sure = torch.where(z.abs() > 2, 20 * z, z)
    clip = fit_clip(sure, labels)
    assert 2 < clip < 8
    best = min(
        float(F.cross_entropy(sure.clamp(-c, c), labels)) for c in torch.linspace(0.1, 20, 400)
    )
    assert float(F.cross_entropy(sure.clamp(-clip, clip), labels)) == pytest.approx(best, rel=1e-2)


def test_logits_that_are_all_0_and_classes_that_are_all_right_have_finite_values():
    labels = torch.tensor([0, 1, 2])
    for z in (torch.zeros(3, 3), 10 * torch.eye(3)):
        assert 0.01 <= fit_temperature(z, labels) <= 100
        assert fit_clip(z, labels) > 0
