"""Gradient flow on real digits: 10 hidden layers of 128, three seeds, at He's start and trained."""

import pytest
import torch
import torch.nn.functional as F

from actsearch import Placement, find_sites
from actsearch.measures.functional.gradient_flow import gradient_flow
from actsearch.task import laws
from actsearch_tasks.classification import Classification

pytestmark = pytest.mark.claim

LEAKY = {"activation": "leaky_relu", "parameters": {"negative_slope": 0.1}}
ACTIVATIONS = {"relu": "relu", "leaky 0.1": LEAKY, "elu": "elu", "tanh": "tanh", "gelu": "gelu"}


def mean(values):
    return sum(values) / len(values)


def flows(activation, epochs=0):
    """Return what the sites of three seeds see."""
    torch.set_num_threads(1)
    found = []
    for seed in range(3):
        task = laws.build_task(Classification, {"hidden": 128, "depth": 10}, seed)
        if activation != "relu":
            Placement.uniform(activation, find_sites(task)).apply(task)
        if epochs:
            laws.fit(task, epochs)
        x, y = (rows[:256] for rows in task.select("train"))
        loss = lambda network=task.network, x=x, y=y: F.cross_entropy(network(x), y)  # noqa: E731
        found.append(gradient_flow(task.network, loss))
    return found


def record(claim, name, found, wanted=""):
    """Add a row, and return the mean of each layer's κ, and that of dead units."""
    kappas = [mean([site.kappa for site in layer]) for layer in zip(*found, strict=True)]
    dead = mean([site.dead for sites in found for site in sites])
    ratio = mean([(s[0].gradient_variance / s[-1].gradient_variance) ** 0.5 for s in found])
    first, last = (sorted(sites[index].kappa for sites in found) for index in (0, -1))
    measured = (
        f"{first[0]:.2f} to {first[-1]:.2f}, {last[0]:.2f} to {last[-1]:.2f};"
        f" {dead:.3f}; {ratio:.2f}"
    )
    claim(f"gradient flow, {name}: κ of layers 1, 10; dead; layer 1 over 10", measured, wanted)
    return kappas, dead


def test_relus_kappa_is_about_2_on_its_own_inputs_and_leaky_relu_has_no_dead_units(claim):
    kappas, _ = record(claim, "relu, start", flows("relu"), "mean κ within 0.2 of 2")
    assert all(abs(kappas[index] - 2) < 0.2 for index in (0, -1))
    _, dead = record(claim, "leaky 0.1, start", flows(LEAKY), "none dead")
    assert dead == 0


@pytest.mark.long
@pytest.mark.parametrize("epochs", [0, 10])
def test_at_the_start_and_after_training(epochs, claim):
    for name, activation in ACTIVATIONS.items():
        _, dead = record(claim, f"{name}, {epochs} epochs", flows(activation, epochs))
        if activation is LEAKY:
            assert dead == 0
