"""Stability of learned steps: the radius at rest says what 2,000 steps come to; seeds 0 and 1."""

import lightning.pytorch as L
import pytest

from actsearch import Placement, find_sites
from actsearch.search.training.target import LEAN_TRAINER
from actsearch_tasks.stepper import Stepper

pytestmark = [pytest.mark.claim, pytest.mark.long]

EQUATIONS = ("heat", "burgers")
NOISELESS = {"noise": 0.0, "unroll": 6}


def trained(name, equation, seed, **options):
    L.seed_everything(seed, verbose=False)
    task = Stepper(equation=equation, **options)
    if name != "elu":
        Placement.uniform(name, find_sites(task)).apply(task)
    settings = {"accelerator": "cpu", "max_epochs": 8, "limit_val_batches": 0}
    trainer = L.Trainer(**LEAN_TRAINER | settings)
    trainer.fit(task)
    (found,) = trainer.test(task, verbose=False)
    return {key.removeprefix("test_"): value for key, value in found.items()}


def text(runs, key, form):
    return ", ".join(format(run[key], form) for run in runs)


@pytest.mark.parametrize("equation", EQUATIONS)
@pytest.mark.parametrize("name", ["elu", "silu", "tanh", "relu"])
def test_with_noise_all_are_stable(name, equation, claim):
    runs = [trained(name, equation, seed) for seed in (0, 1)]
    what = f"stepper, {equation}, {name}, noise 0.02: radius at rest; size after 2,000 steps; error"
    sizes = text(runs, "last_size", ".1e")
    measured = f"{text(runs, 'radius_at_rest', '.4f')}; {sizes}"
    claim(what, f"{measured}; {text(runs, 'rollout_error', '.3f')}", "< 0.995; < 4e-6; any")
    assert all(run["radius_at_rest"] < 0.995 for run in runs)
    assert all(run["last_size"] < 4e-6 for run in runs)


@pytest.mark.parametrize("equation", EQUATIONS)
def test_without_noise_the_radius_at_rest_tells_what_becomes_of_a_roll_out(equation, claim):
    by_name = {n: [trained(n, equation, s, **NOISELESS) for s in (0, 1)] for n in ("elu", "silu")}
    for name, runs in by_name.items():
        what = f"stepper, {equation}, {name}, no noise, unroll 6: radius at rest; size; survived"
        measured = f"{text(runs, 'radius_at_rest', '.4f')}; {text(runs, 'last_size', '.1e')}"
        measured += f"; {text(runs, 'steps_survived', '.0f')}"
        claim(what, measured, "< 0.996 ends below 4e-6, > 1.004 above 19")
        for run in runs:
            if run["radius_at_rest"] < 0.996:
                assert run["last_size"] < 4e-6
            if run["radius_at_rest"] > 1.004:
                assert not run["last_size"] < 19  # NaN is as bad
    pairs = zip(by_name["elu"], by_name["silu"], strict=True)
    lower = sum(b["radius_at_rest"] < a["radius_at_rest"] for a, b in pairs)
    claim(f"stepper, {equation}, no noise: silu's radius below elu's", f"{lower} of 2", "")
