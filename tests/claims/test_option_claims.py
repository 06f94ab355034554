"""What of a fit to Black-Scholes prices can be arbitraged, by form and activation."""

import lightning.pytorch as L
import numpy as np
import pytest
import torch

from actsearch import Placement, find_sites
from actsearch.search.training.target import LEAN_TRAINER
from actsearch_tasks.option import CallPrices
from actsearch_tasks.option.black_scholes import black_price

pytestmark = [pytest.mark.claim, pytest.mark.long]

ALL = {"strikes": 58, "validation_share": 0.017, "test_share": 0.017}
"""56 strikes to train on, from 50 to 160."""


def fitted(name, **options):
    """Violations and error on 2,001 strikes of three seeds."""
    found = []
    for seed in range(3):
        L.seed_everything(seed, verbose=False)
        task = CallPrices(**ALL | options, split_seed=seed)
        if name != "relu":
            Placement.uniform(name, find_sites(task)).apply(task, force=True)
        trainer = L.Trainer(**LEAN_TRAINER | {"accelerator": "cpu", "max_epochs": 16})
        trainer.fit(task)
        with torch.no_grad():
            k, price = task.grid()
        exact = black_price(k, torch.tensor(0.25 * 0.5**0.5, dtype=torch.float64))
        arbitrage = task.arbitrage()
        error = 100 * float((price[0] - exact).square().mean().sqrt())
        found.append([float(arbitrage["butterfly"]), float(arbitrage["vertical"]), error])
    return np.array(found)


def shown(found):
    low, high = found.min(0), found.max(0)
    return (
        f"{low[0]:.0f} to {high[0]:.0f}, {low[1]:.0f} to {high[1]:.0f}; {low[2]:.4f} to"
        f" {high[2]:.4f}"
    )


@pytest.mark.parametrize("noise", [0.0, 0.25])
@pytest.mark.parametrize(("name", "bound"), [("relu", 0.03), ("softplus", 0.015)])
def test_a_mixture_allows_no_arbitrage(name, bound, noise, claim):
    found = fitted(name, noise=noise)
    wanted = f"none, error < {bound}" if noise == 0 else "none"
    what = f"option, mixture of 24, {name}, noise {noise}: butterflies, vertical; error"
    claim(what, shown(found), wanted)
    assert not found[:, :2].any()
    if noise == 0:
        assert found[:, 2].max() < bound


@pytest.mark.parametrize("noise", [0.0, 0.25])
@pytest.mark.parametrize("name", ["relu", "leaky_relu", "softplus", "elu"])
def test_positive_output_weights_allow_no_butterfly(name, noise, claim):
    positive, free = (
        fitted(name, form=form, units=16, depth=1, noise=noise) for form in ("positive", "free")
    )
    what = f"option, 16 units, {name}, noise {noise}: butterflies, vertical; error"
    claim(f"{what}; output weights >= 0", shown(positive), "no butterfly")
    claim(f"{what}; any weights", shown(free))
    assert not positive[:, 0].any()


@pytest.mark.parametrize("form", ["positive", "mixture"])
@pytest.mark.parametrize("name", ["silu", "gelu", "tanh"])
def test_what_is_not_convex_allows_arbitrage(name, form, claim):
    found = fitted(name, form=form, units=24 if form == "mixture" else 16, noise=0.25)
    what = f"option, {form}, {name} by force, noise 0.25: butterflies, vertical; error"
    claim(what, shown(found), "some in most runs")
    assert (found[:, :2].sum(1) > 0).sum() >= 2
