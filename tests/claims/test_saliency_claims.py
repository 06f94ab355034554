"""Saliency and what pruning by it keeps: digits, 64-128-128-10, test split of 360, 5 seeds."""

from statistics import fmean
from typing import get_args

import pytest
import torch
import torch.nn.functional as F

from actsearch import Placement
from actsearch.measures import Fitted, build
from actsearch.measures.builtin.saliency import Rank
from actsearch.task import laws
from actsearch_tasks.classification import Classification

pytestmark = [pytest.mark.claim, pytest.mark.long]
HIDDEN = [f"network.layer_{i}.activation" for i in (1, 2)]
PLAIN = {"hidden": 128, "depth": 2, "weight_decay": 0.0, "schedule": "constant"}
SHARES = (0.0, 0.25, 0.5, 0.75)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def trained(seed, epochs, slope=0.0):
    task = laws.build_task(Classification, PLAIN, seed)
    if slope:
        leaky = {"activation": "leaky_relu", "parameters": {"negative_slope": slope}}
        Placement.uniform(leaky, HIDDEN).apply(task)
    if epochs:
        laws.fit(task, epochs)
    return task.eval()


def measured(task, **options):
    options = {"rows": 1000, "sparsities": SHARES} | options
    found = build("saliency", options).values(Fitted(task, part="test"))
    return {name.partition("/")[2]: value for name, value in found.items()}


@pytest.mark.parametrize("epochs", [0, 20])
@pytest.mark.parametrize("slope", [0.0, 0.1, 0.3])
def test_saliency_follows_the_probability_that_a_unit_is_on_until_training_ends(
    slope, epochs, claim
):
    found = [measured(trained(seed, epochs, slope)) for seed in range(5)]
    layers = [fmean(one[f"correlation/{site}"] for one in found) for site in HIDDEN]
    claim(
        f"saliency, slope {slope} below 0, {epochs} epochs: rank correlation with p + (1 - p) α²",
        ", ".join(f"{value:.2f}" for value in layers),
        "" if epochs else "layer 2 > 0.5",
    )
    assert epochs or layers[1] > 0.5


@pytest.mark.parametrize("epochs", [2, 20])
def test_accuracy_without_units_by_rank(epochs, claim):
    tasks = [trained(seed, epochs) for seed in range(5)]
    with torch.no_grad():
        rows = [(task, *task.select("train")) for task in tasks]
        loss = fmean(float(F.cross_entropy(task(x), y)) for task, x, y in rows)
    kept = {}
    for rank in get_args(Rank):
        found = [measured(task, rank=rank) for task in tasks]
        kept[rank] = [fmean(one[f"accuracy/sparsity_{s:g}"] for one in found) for s in SHARES]
        claim(
            f"saliency, {epochs} epochs (loss {loss:.3f}): accuracy without 0, 25, 50, 75 % of the"
            f" units, by {rank}",
            ", ".join(f"{value:.3f}" for value in kept[rank]),
            "saliency > random + 0.05 at 75 %" if rank == "saliency" and epochs == 2 else "",
        )
    if epochs == 2:
        assert kept["saliency"][3] > kept["random"][3] + 0.05
    assert kept["jacobian"][2] > kept["random"][2] + 0.05


def test_five_epochs_on_repair_any_order(claim):
    tasks = [trained(seed, 20) for seed in range(5)]
    for rank in ("saliency", "jacobian", "random"):
        found = [measured(task, rank=rank, sparsities=(0.75,), retrain=5) for task in tasks]
        accuracy = fmean(one["accuracy/sparsity_0.75"] for one in found)
        claim(
            f"saliency, 20 epochs, without 75 % by {rank}, 5 epochs on: accuracy",
            f"{accuracy:.3f}",
            "> 0.9",
        )
        assert accuracy > 0.9
