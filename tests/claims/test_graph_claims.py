"""Graph convolution and depth: where plain convolutions collapse, and what repairs them."""

from functools import cache
from statistics import fmean

import lightning.pytorch as L
import pytest
import torch

from actsearch import Placement, find_sites
from actsearch.measures.functional.gradient_flow import gradient_flow
from actsearch.search.training.target import LEAN_TRAINER
from actsearch_tasks.graph import NodeClassification

pytestmark = [pytest.mark.claim, pytest.mark.long]

LEAKY = {"activation": "leaky_relu", "parameters": {"negative_slope": 0.2}}
ACTIVATIONS = {"relu": "relu", "leaky 0.2": LEAKY, "tanh": "tanh", "elu": "elu"}
DIGITS = {"data": "digits", "hidden": 32, "epochs": 10, "seeds": 3}


def placed(name, seed, **options):
    L.seed_everything(seed, verbose=False)
    task = NodeClassification(**options)
    if name != "relu":
        Placement.uniform(ACTIVATIONS[name], find_sites(task)).apply(task)
    return task


@cache
def accuracy(name, epochs=20, seeds=5, **options):
    """Of all nodes that were not trained on, with the mean share of zero slopes at the end."""
    right, slopes = [], []
    for seed in range(seeds):
        task = placed(name, seed, **options)
        trainer = L.Trainer(**LEAN_TRAINER | {"accelerator": "cpu", "max_epochs": epochs})
        trainer.fit(task)
        nodes, y = task.tensors
        others = torch.cat([task.splits.val, task.splits.test])
        right.append(float((task(nodes).argmax(1) == y)[others].float().mean()))
        logged = trainer.callback_metrics.items()
        slopes.append(fmean(float(v) for k, v in logged if k.startswith("zero_slope/")))
    return fmean(right), fmean(slopes)


def start(name):
    """Energies by layer and the gradient's norm, first site over last, before any training."""
    energies, ratios = [], []
    for seed in range(5):
        task = placed(name, seed, depth=16)
        energies.append([float(e) for e in task.energies().values()])
        batch = task.select("train")
        norms = [site.gradient_norm for site in gradient_flow(task, lambda: task.loss(batch))]  # noqa: B023
        ratios.append(norms[0] / norms[-1])
    return [fmean(column) for column in zip(*energies, strict=True)], fmean(ratios)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_two_convolutions_learn_karate(name, claim):
    found, slope = accuracy(name, depth=2)
    claim(
        f"graph, karate, depth 2, {name}: accuracy, zero slopes",
        f"{found:.3f}, {slope:.2f}",
        "≥ 0.93",
    )
    assert found >= 0.93


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_sixteen_collapse_with_rectifiers(name, claim):
    found, slope = accuracy(name, depth=16)
    wanted = {"relu": "≤ 0.60", "tanh": "≥ 0.93"}.get(name, "")
    claim(
        f"graph, karate, depth 16, {name}: accuracy, zero slopes",
        f"{found:.3f}, {slope:.2f}",
        wanted,
    )
    assert name != "relu" or found <= 0.6
    assert name != "tanh" or found >= 0.93
    assert (slope == 0) == (name != "relu")


def test_without_weight_decay_they_do_not(claim):
    found, _ = accuracy("relu", depth=16, weight_decay=0.0)
    claim("graph, karate, depth 16, relu, no weight decay", f"{found:.3f}", "≥ 0.80")
    assert found >= 0.8


@pytest.mark.parametrize("convolution", ["residual", "gcnii", "pairnorm"])
@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_what_repairs_depth(name, convolution, claim):
    found, _ = accuracy(name, depth=16, convolution=convolution)
    claim(f"graph, karate, depth 16, {name}, {convolution}", f"{found:.3f}", "≥ 0.88")
    assert found >= 0.88


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_energy_falls_with_depth_at_the_start(name, claim):
    energies, ratio = start(name)
    claim(
        f"graph, karate, depth 16, {name}, at the start: energy after layers 1, 8, 15;"
        " gradient at the first site over the last",
        ", ".join(f"{energies[layer]:.2g}" for layer in (0, 7, 14)) + f"; {ratio:.2g}",
        "falling",
    )
    assert energies[0] > energies[7] > energies[14]


def test_so_do_the_digits(claim):
    cells = {
        (2, "gcn", "relu"): ("≥ 0.90", 0.9, 1.0),
        (16, "gcn", "relu"): ("≤ 0.20", 0.0, 0.2),
        (16, "gcn", "tanh"): ("", 0.0, 1.0),
        (16, "gcnii", "relu"): ("≥ 0.90", 0.9, 1.0),
        (16, "gcnii", "tanh"): ("≥ 0.90", 0.9, 1.0),
    }
    for (depth, convolution, name), (wanted, low, high) in cells.items():
        found, _ = accuracy(name, depth=depth, convolution=convolution, **DIGITS)
        claim(f"graph, digits, depth {depth}, {convolution}, {name}", f"{found:.3f}", wanted)
        assert low <= found <= high
