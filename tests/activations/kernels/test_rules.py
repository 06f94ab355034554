"""Rules: blocks, kernels and formulas agree, in value and in every gradient."""

import pytest
import torch

from actsearch.activations.kernels import blockwise, rules
from actsearch.activations.kernels.blockwise import Rule, evaluate_rule, works_in_blocks

RULES = {
    name: rule
    for name, rule in vars(rules).items()
    if isinstance(rule, type) and issubclass(rule, Rule) and rule not in (Rule, rules.SharpnessRule)
}


@pytest.fixture
def blocks_of(monkeypatch):
    """Set how many elements a block has; inputs larger than one are large."""

    def set_to(elements):
        monkeypatch.setattr(blockwise, "BLOCK", elements)
        monkeypatch.setattr(blockwise, "LARGE", elements)

    return set_to


@pytest.mark.parametrize("name", RULES)
def test_blocks_and_kernels_agree_with_the_formula(name, blocks_of):
    torch.manual_seed(0)
    rule = RULES[name]
    x = torch.randn(50, 40, dtype=torch.float64, requires_grad=True)
    θ = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
    g = torch.randn(50, 40, dtype=torch.float64)
    seen = []
    for block in (64, 1 << 16):
        blocks_of(block)
        y = evaluate_rule(rule, x, θ)
        seen.append((y, *torch.autograd.grad(y, (x, θ), g)))
        assert works_in_blocks(x, θ) == (block == 64)
    for quick, formula in zip(*seen, strict=True):
        torch.testing.assert_close(quick, formula, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", RULES)
def test_second_derivatives_exist_for_large_inputs_too(name, blocks_of):
    blocks_of(8)
    x = torch.linspace(-3.03, 3.01, 32, dtype=torch.float64, requires_grad=True)
    θ = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(
        lambda x, θ: evaluate_rule(RULES[name], x, θ), (x, θ), atol=1e-6
    )


def test_what_is_laid_out_otherwise_is_not_cut_into_blocks(blocks_of):
    blocks_of(8)
    x = torch.randn(6, 5)
    assert works_in_blocks(x, torch.ones(1))
    assert not works_in_blocks(x.t(), torch.ones(1))
    assert not works_in_blocks(x, torch.ones(5))
    torch.testing.assert_close(
        evaluate_rule(rules.SwishRule, x.t(), 0.7), evaluate_rule(rules.SwishRule, x, 0.7).t()
    )


@pytest.mark.parametrize("name", RULES)
def test_per_sample_gradients(name):
    """torch.func maps over samples, as private training does."""
    θ = torch.tensor([0.7], dtype=torch.float64)
    x = torch.randn(4, 6, dtype=torch.float64)
    mapped = torch.func.vmap(
        torch.func.grad(lambda p, row: evaluate_rule(RULES[name], row, p).sum()), (None, 0)
    )(θ, x)
    single = [
        torch.func.grad(lambda p, row=row: evaluate_rule(RULES[name], row, p).sum())(θ) for row in x
    ]
    torch.testing.assert_close(mapped, torch.stack(single))


@pytest.mark.parametrize("block", [8, 64])
@pytest.mark.parametrize(
    ("name", "slope_at_zero"), [("SwishRule", 0.5), ("GELURule", 0.5), ("MishRule", 0.6)]
)
def test_a_sharpness_that_has_come_down_to_zero(name, slope_at_zero, block, blocks_of):
    blocks_of(block)
    x = torch.linspace(-5, 5, 32, requires_grad=True)
    y = evaluate_rule(RULES[name], x, torch.zeros(1, requires_grad=True))
    torch.testing.assert_close(y, x * slope_at_zero)
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(slope, torch.full_like(x, slope_at_zero))


@pytest.mark.parametrize("name", RULES)
def test_far_out_nothing_is_nan(name, blocks_of):
    blocks_of(4)
    x = torch.tensor([0.0, -0.0, 50.0, -50.0, 1e4, -1e4, 1e18, -1e18], requires_grad=True)
    θ = torch.tensor([0.7], requires_grad=True)
    y = evaluate_rule(RULES[name], x, θ)
    quick = torch.autograd.grad(y.sum(), x, retain_graph=True)[0]
    (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(slope.sum(), x)
    assert y.isfinite().all()
    assert quick.isfinite().all()
    assert not second.isnan().any()
    torch.testing.assert_close(quick, slope)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("mean", [0.0, 1.0])
def test_the_gradient_of_a_parameter_is_as_exact_as_float32_allows(name, mean):
    torch.manual_seed(0)
    x, g = torch.randn(300_000), torch.randn(300_000) + mean
    exact, single = (
        torch.tensor([0.7], dtype=t, requires_grad=True) for t in (torch.float64, torch.float32)
    )
    (expected,) = torch.autograd.grad(
        evaluate_rule(RULES[name], x.double(), exact), exact, g.double()
    )
    (found,) = torch.autograd.grad(evaluate_rule(RULES[name], x, single), single, g)
    torch.testing.assert_close(found.double(), expected, rtol=2e-5, atol=1e-5 * 300_000**0.5)


@pytest.mark.parametrize("name", RULES)
def test_per_sample_gradients_of_large_samples(name, blocks_of):
    blocks_of(4)
    test_per_sample_gradients(name)


@pytest.mark.parametrize("name", RULES)
def test_what_follows_may_work_in_place(name, blocks_of):
    blocks_of(8)
    x = torch.linspace(-3.03, 3.01, 32, dtype=torch.float64, requires_grad=True)
    θ = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
    kept = torch.autograd.grad((evaluate_rule(RULES[name], x, θ) * 2).sum(), (x, θ))
    overwritten = torch.autograd.grad(evaluate_rule(RULES[name], x, θ).mul_(2).sum(), (x, θ))
    torch.testing.assert_close(overwritten, kept)
    part = evaluate_rule(RULES[name], x, θ)
    part[:4].zero_()
    (slope,) = torch.autograd.grad(part.sum(), x)
    torch.testing.assert_close(slope[4:], kept[0][4:] / 2)


@pytest.mark.parametrize("name", RULES)
def test_inference_mode_takes_large_inputs(name, blocks_of):
    blocks_of(8)
    with torch.inference_mode():
        inferred = evaluate_rule(RULES[name], torch.linspace(-3, 3, 100), 0.7)
    torch.testing.assert_close(
        inferred.clone(), evaluate_rule(RULES[name], torch.linspace(-3, 3, 100), 0.7)
    )
