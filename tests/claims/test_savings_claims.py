"""How near networks of equal size come to a policy with a kink: five seeds each."""

import lightning.pytorch as L
import numpy as np
import pytest

from actsearch import Placement, find_sites
from actsearch.search.training.target import LEAN_TRAINER
from actsearch_tasks.savings import Savings

pytestmark = [pytest.mark.claim, pytest.mark.long]

SEEDS = range(5)


def errors(activation, **options):
    """Errors near the kink and away from it, ``(seeds, 2)``."""
    found = []
    for seed in SEEDS:
        L.seed_everything(seed, verbose=False)
        task = Savings(**options)
        if activation != "relu":
            Placement.uniform(activation, find_sites(task)).apply(task)
        trainer = L.Trainer(**LEAN_TRAINER | {"accelerator": "cpu", "max_epochs": 12})
        trainer.fit(task)
        logged = trainer.callback_metrics
        found.append([float(logged[f"val_{name}_error"]) for name in ("kink", "away")])
    return np.array(found)


@pytest.mark.parametrize("age", [0, 38])
@pytest.mark.parametrize(("hidden", "depth"), [(8, 1), (16, 1), (32, 1), (16, 2)])
def test_relu_is_nearer_at_the_kink(age, hidden, depth, claim):
    relu, tanh = (errors(name, age=age, hidden=hidden, depth=depth) for name in ("relu", "tanh"))
    near, away = np.median(tanh, 0) / np.median(relu, 0)
    asserted = (hidden, depth) == (32, 1)
    claim(
        f"savings, age {age}, {hidden} × {depth}, 5 seeds: error near the kink of relu, tanh;"
        " tanh / relu near, away",
        f"{np.median(relu[:, 0]):.1e}, {np.median(tanh[:, 0]):.1e}; {near:.1f}, {away:.1f}",
        "near > 3" if asserted else "",
    )
    if asserted:
        assert near > 3


@pytest.mark.parametrize("age", [0, 38])
def test_each_at_its_own_steepness(age, claim):
    best = {}
    for name in ("relu", "tanh"):
        medians = [np.median(errors(name, age=age, steepness=s)[:, 0]) for s in (1.0, 4.0, 10.0)]
        best[name] = min(medians)
        shown = ", ".join(f"{value:.1e}" for value in medians)
        claim(f"savings, age {age}, 32 × 1, {name}: near the kink, steepness 1, 4, 10", shown)
    claim(
        f"savings, age {age}, 32 × 1, each at its best steepness: tanh / relu near the kink",
        f"{best['tanh'] / best['relu']:.1f}",
        "> 3",
    )
    assert best["tanh"] > 3 * best["relu"]
