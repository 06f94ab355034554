"""How much data three potentials of formaldehyde need, and what turning it does; 600 steps."""

import lightning.pytorch as L
import pytest

from actsearch import Placement, find_sites
from actsearch.search.training.target import LEAN_TRAINER
from actsearch_tasks.orbital import OrbitalPotential
from actsearch_tasks.potential import Potential

pytestmark = [pytest.mark.claim, pytest.mark.long]

SIZES = (25, 50, 100)


def trained(model, size, seed, dtype="float64"):
    L.seed_everything(seed, verbose=False)
    options = {"hidden": 32, "train_size": size, "dtype": dtype, "dynamics_steps": 1}
    if model == "orbitals":
        task = OrbitalPotential(**options)
    else:
        task = Potential(descriptor=model, **options)
        Placement.uniform("silu", find_sites(task)).apply(task)
    settings = {"accelerator": "cpu", "max_epochs": 30, "limit_val_batches": 0}
    trainer = L.Trainer(**LEAN_TRAINER | settings)
    trainer.fit(task)
    (found,) = trainer.test(task, verbose=False)
    return found["test_force_error"], found["test_rotation_error"]


def test_data_that_each_model_needs(claim):
    errors, turned = {}, {}
    for model in ("coordinates", "distances", "orbitals"):
        by_size = [[trained(model, size, seed) for seed in (0, 1)] for size in SIZES]
        errors[model] = [[error for error, _ in runs] for runs in by_size]
        turned[model] = max(change for runs in by_size for _, change in runs)
        text = "; ".join(", ".join(f"{e:.0f}" for e in runs) for runs in errors[model])
        claim(f"orbital, {model}: force error with 25; 50; 100 geometries", f"{text} meV/Å")
        claim(f"orbital, {model}: energy changed by turning", f"{turned[model]:.1g} eV")
    assert turned["coordinates"] > 0.1
    assert turned["distances"] < 1e-10
    assert turned["orbitals"] < 1e-10
    worst = [
        orbital / place
        for orbital, place in zip(errors["orbitals"][0], errors["coordinates"][0], strict=True)
    ]
    claim(
        "orbital, 25 geometries: orbitals' error over that on coordinates",
        f"{max(worst):.2f}",
        "< 0.2",
    )
    assert max(worst) < 0.2
    ratios = [a / b for a, b in zip(errors["orbitals"][2], errors["distances"][2], strict=True)]
    claim("orbital, 100 geometries: orbitals' error over that on distances", f"{max(ratios):.2f}")


def test_turning_changes_nothing_in_float32_either(claim):
    for model in ("distances", "orbitals"):
        change = trained(model, 100, 0, "float32")[1]
        claim(f"orbital, {model}, float32: energy changed by turning", f"{change:.1g} eV", "< 1e-5")
        assert change < 1e-5
