"""What an activation makes of a potential of formaldehyde in use; 200 geometries, 1,600 steps."""

import lightning.pytorch as L
import pytest
import torch

from actsearch import Placement, find_sites
from actsearch.measures.functional.partial_derivatives import partial_derivatives
from actsearch.search.training.target import LEAN_TRAINER
from actsearch_tasks.potential import Potential
from actsearch_tasks.potential.simulation import force_jumps, forces_along, stretched

pytestmark = [pytest.mark.claim, pytest.mark.long]

SEEDS = (0, 1)


def trained(name, seed):
    L.seed_everything(seed, verbose=False)
    task = Potential(train_size=200, dynamics_steps=2000)
    if name != "tanh":
        Placement.uniform(name, find_sites(task)).apply(task, force=True)
    settings = {"accelerator": "cpu", "max_epochs": 80, "limit_val_batches": 0}
    trainer = L.Trainer(**LEAN_TRAINER | settings)
    trainer.fit(task)
    (found,) = trainer.test(task, verbose=False)
    path = stretched(task.lowest("test"), 10_000)
    found["test_jump"], found["test_ratio"] = map(
        float, force_jumps(forces_along(task.evaluated, path))
    )
    off = task.frequencies() / task.reference.frequencies - 1
    found["test_worst_frequency"] = float(off.abs().max())
    network = task.network
    features = network.descriptor(task.select("test")[0])[:, 0]
    with torch.no_grad():
        second = partial_derivatives(lambda f: network.of_features(f[:, None]), features, 2)[2]
    found["test_second"] = float(second.abs().mean())
    return {key.removeprefix("test_"): value for key, value in found.items()}


def text(runs, key, form):
    return ", ".join(format(run[key], form) for run in runs)


@pytest.mark.parametrize(
    ("name", "frequency"), [("tanh", 0.05), ("silu", 0.05), ("softplus", 0.15), ("elu", None)]
)
def test_a_smooth_activation_makes_a_potential_that_simulates(name, frequency, claim):
    runs = [trained(name, seed) for seed in SEEDS]
    what = f"potential, {name}: forces, meV/Å; jump of 1e4 steps, eV/Å; ratio; worst frequency"
    measured = f"{text(runs, 'force_error', '.0f')}; {text(runs, 'jump', '.1e')};"
    measured += f" {text(runs, 'ratio', '.2f')}; {text(runs, 'worst_frequency', '.1%')}"
    claim(what, measured, "any; any; > 8" + ("" if frequency is None else f"; < {frequency:.0%}"))
    what = f"potential, {name}: energy over 1 ps, standard deviation; trend; second derivative"
    measured = f"{text(runs, 'energy_spread', '.2g')} meV; {text(runs, 'energy_drift', '.1g')}"
    claim(what, f"{measured}; {text(runs, 'second', '.2g')}", "< 0.5 meV; any; above 0")
    assert all(run["ratio"] > 8 for run in runs)
    assert all(run["energy_spread"] < 0.5 for run in runs)
    assert all(run["second"] > 0 for run in runs)
    if frequency is not None:
        assert all(run["imaginary"] == 0 for run in runs)
        assert all(run["worst_frequency"] < frequency for run in runs)


def test_relu_makes_one_that_does_not(claim):
    runs = [trained("relu", seed) for seed in SEEDS]
    what = "potential, relu, forced: forces, meV/Å; jump of 1e4 steps, eV/Å; ratio; worst frequency"
    measured = f"{text(runs, 'force_error', '.0f')}; {text(runs, 'jump', '.1e')};"
    measured += f" {text(runs, 'ratio', '.2f')}; {text(runs, 'worst_frequency', '.1%')}"
    claim(what, measured, "any; any; < 2; > 50%")
    what = "potential, relu: energy over 1 ps, standard deviation; trend; second derivative"
    measured = f"{text(runs, 'energy_spread', '.2g')} meV; {text(runs, 'energy_drift', '.1g')}"
    claim(what, f"{measured}; {text(runs, 'second', '.2g')}", "> 5 meV; any; 0")
    assert all(run["ratio"] < 2 for run in runs)
    assert all(run["energy_spread"] > 5 for run in runs)
    assert all(run["second"] == 0 for run in runs)
    assert all(run["worst_frequency"] > 0.5 for run in runs)
