"""Claims of the specification's spiking row, on the task's own network and real digits."""

import copy
import logging

import lightning as L
import pytest
import torch
import torch.nn.functional as F

import actsearch
from actsearch.search.space.search_space import SearchSpace
from actsearch_tasks.spiking import Spiking
from actsearch_tasks.spiking.network import SpikingLayer

pytestmark = [
    pytest.mark.claim,
    # What stands there is placed too.
    pytest.mark.filterwarnings("ignore:nothing of:actsearch.errors.ActsearchWarning"),
]

SURROGATES = tuple(SearchSpace.load("surrogates").activations)


@pytest.fixture(autouse=True)
def _quiet():
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)


class Heaviside(torch.nn.Module):
    def forward(self, x):
        return (x > 0).to(x.dtype)


def place(task, surrogate):
    actsearch.Placement.uniform(surrogate, actsearch.find_sites(task)).apply(task)
    return task


def test_forward_is_the_heaviside_network_whatever_the_surrogate_and_backward_is_not():
    torch.manual_seed(0)
    task = Spiking()
    inputs, labels = task.select("train")
    x, y = task.encode(inputs[:64], seed=0), labels[:64]
    reference = copy.deepcopy(task)
    for name in reference.network.layers:
        reference.network.get_submodule(name).surrogate = Heaviside()
    expected = reference.network.run(x)
    gradients = {}
    for surrogate in SURROGATES:
        activity = place(task, surrogate).network.run(x)
        assert torch.equal(activity.logits, expected.logits), surrogate
        assert all(
            torch.equal(a, b) for a, b in zip(activity.spikes, expected.spikes, strict=True)
        ), surrogate
        loss = F.cross_entropy(activity.logits, y)
        gradients[surrogate] = torch.autograd.grad(loss, task.network.layer_1.linear.weight)[0]
    names = list(gradients)
    for i, a in enumerate(names):
        assert gradients[a].norm() > 0, a
        for b in names[i + 1 :]:
            assert not torch.allclose(gradients[a], gradients[b]), (a, b)
    # The true derivative is 0: no gradient at all.
    with pytest.raises(RuntimeError, match="not have been used in the graph"):
        torch.autograd.grad(
            F.cross_entropy(expected.logits, y), reference.network.layer_1.linear.weight
        )


@pytest.mark.parametrize("surrogate", SURROGATES)
def test_layer_equals_snntorch_step_for_step_with_every_surrogate(surrogate):
    snntorch = pytest.importorskip("snntorch")
    torch.manual_seed(0)
    layer = SpikingLayer(20, 30, decay=0.9, threshold=1.0)
    torch.nn.init.normal_(layer.linear.weight, std=0.5)
    layer.surrogate = actsearch.Site(surrogate)
    neuron = snntorch.Leaky(beta=0.9, threshold=1.0, spike_grad=actsearch.Site(surrogate))
    x = (torch.rand(25, 8, 20) < 0.3).float()
    weights = torch.randn(25, 8, 30)
    _, ours = layer(x)
    potential, theirs = torch.zeros(8, 30), []
    for current in layer.linear(x):
        spike, potential = neuron(current, potential)
        theirs.append(spike)
    assert torch.equal(ours, torch.stack(theirs))
    assert ours.mean() > 0.05
    own = torch.autograd.grad((ours * weights).sum(), layer.linear.weight)[0]
    other = torch.autograd.grad((torch.stack(theirs) * weights).sum(), layer.linear.weight)[0]
    torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-4)


def accuracy(surrogate, seed=0):
    L.seed_everything(seed, verbose=False)
    task = place(Spiking(), surrogate)
    L.seed_everything(seed, verbose=False)
    run = L.Trainer(
        max_epochs=task.trainer_defaults["max_epochs"],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    run.fit(task)
    validation = {name: float(value) for name, value in run.callback_metrics.items()}
    (test,) = run.test(task, verbose=False)
    return validation | test


@pytest.mark.long
def test_snntorchs_default_surrogate_reaches_its_accuracy_on_digits(claim):
    metrics = accuracy("arctan_surrogate")
    claim("spiking, digits, arctan: test accuracy", f"{metrics['test_accuracy']:.4f}", "≥ 0.93")
    assert metrics["test_accuracy"] >= 0.93, metrics


@pytest.mark.long
def test_the_best_surrogate_by_validation_reaches_its_accuracy_on_digits(claim):
    table = {surrogate: accuracy(surrogate) for surrogate in SURROGATES}
    for surrogate, m in sorted(table.items(), key=lambda item: -item[1]["val_accuracy"]):
        row = (
            f"val {m['val_accuracy']:.4f}, test {m['test_accuracy']:.4f}, spikes"
            f" {m['test_spikes']:.0f}"
        )
        claim(f"spiking, digits, {surrogate}", row)
    best = max(table, key=lambda surrogate: table[surrogate]["val_accuracy"])
    claim(
        f"spiking, digits, best ({best}): test accuracy",
        f"{table[best]['test_accuracy']:.4f}",
        "≥ 0.93",
    )
    assert table[best]["test_accuracy"] >= 0.93, table
