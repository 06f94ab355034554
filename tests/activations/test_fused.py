"""Fused rules: blocks, kernels and formulas agree, in value and in every gradient."""

import pytest
import torch

from actsearch.activations import blockwise, fused

RULES = {
    name: rule for name, rule in vars(fused).items() if isinstance(rule, type) and issubclass(rule, blockwise.Fused)
}
del RULES["Fused"]


@pytest.mark.parametrize("name", RULES)
def test_blocks_and_kernels_agree_with_the_formula(name, monkeypatch):
    torch.manual_seed(0)
    rule = RULES[name]
    x = torch.randn(50, 40, dtype=torch.float64, requires_grad=True)
    θ = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
    g = torch.randn(50, 40, dtype=torch.float64)
    seen = []
    for block in (64, 1 << 16):
        monkeypatch.setattr(blockwise, "BLOCK", block)
        y = rule.apply(x, θ)
        seen.append((y, *torch.autograd.grad(y, (x, θ), g)))
        assert blockwise.quick(x, θ) == (block == 64)
    for quick, formula in zip(*seen, strict=True):
        torch.testing.assert_close(quick, formula, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", RULES)
def test_second_derivatives_exist_for_large_inputs_too(name, monkeypatch):
    monkeypatch.setattr(blockwise, "BLOCK", 8)
    x = torch.linspace(-3.03, 3.01, 32, dtype=torch.float64, requires_grad=True)
    θ = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(RULES[name].apply, (x, θ), atol=1e-6)


def test_what_is_laid_out_otherwise_is_not_cut_into_blocks(monkeypatch):
    monkeypatch.setattr(blockwise, "BLOCK", 8)
    x = torch.randn(6, 5)
    assert blockwise.quick(x, torch.ones(1))
    assert not blockwise.quick(x.t(), torch.ones(1))
    assert not blockwise.quick(x, torch.ones(5))
    torch.testing.assert_close(fused.apply(fused.Swish, x.t(), 0.7), fused.apply(fused.Swish, x, 0.7).t())


@pytest.mark.parametrize("name", RULES)
def test_per_sample_gradients(name):
    """torch.func maps over samples, as private training does."""
    θ = torch.tensor([0.7], dtype=torch.float64)
    x = torch.randn(4, 6, dtype=torch.float64)
    mapped = torch.func.vmap(torch.func.grad(lambda p, row: RULES[name].apply(row, p).sum()), (None, 0))(θ, x)
    single = [torch.func.grad(lambda p, row=row: RULES[name].apply(row, p).sum())(θ) for row in x]
    torch.testing.assert_close(mapped, torch.stack(single))


@pytest.mark.parametrize("name", ["Swish", "ScaledGELU"])
def test_a_sharpness_that_has_come_down_to_zero(name, monkeypatch):
    monkeypatch.setattr(blockwise, "BLOCK", 8)
    x = torch.linspace(-5, 5, 32, requires_grad=True)
    y = fused.apply(RULES[name], x, torch.zeros(1, requires_grad=True))
    torch.testing.assert_close(y, x / 2)
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(slope, torch.full_like(x, 0.5))
