"""Who learns a function's derivatives: three seeds, 1,500 steps, judged between 128 points."""

import lightning.pytorch as L
import pytest
import torch

from actsearch import Placement, find_sites
from actsearch.search.training.target import LEAN_TRAINER
from actsearch.task.tensors import Splits
from actsearch_tasks.sobolev import Sobolev

pytestmark = [pytest.mark.claim, pytest.mark.long]

ORDERS = ("value", "first", "second")


def errors(name, order=2):
    """The worst error of three seeds, by order."""
    worst = dict.fromkeys(ORDERS, 0.0)
    for seed in range(3):
        L.seed_everything(seed, verbose=False)
        task = Sobolev(order=order, points=1280, batch_size=128, lr=5e-3)
        rows = torch.arange(1280)
        trained = rows % 10 == 5  # evenly, since ReLU is wrong wherever points lie far apart
        task.splits = Splits(rows[trained], rows[~trained], rows[~trained])
        if name != "tanh":
            Placement.uniform(name, find_sites(task)).apply(task, force=True)
        options = {"accelerator": "cpu", "max_epochs": 1500, "limit_val_batches": 0}
        trainer = L.Trainer(**LEAN_TRAINER | options)
        trainer.fit(task)
        (found,) = trainer.test(task, verbose=False)
        worst = {key: max(value, found[f"test_error/{key}"]) for key, value in worst.items()}
    return worst


def text(found):
    return ", ".join(f"{key} {value:.2g}" for key, value in found.items())


@pytest.mark.parametrize("name", ["tanh", "gelu", "silu", "sine"])
def test_smooth_activations_learn_all_three(name, claim):
    found = errors(name)
    claim(f"sobolev, wave, {name}, worst of 3 seeds", text(found), "each < 0.03")
    assert max(found.values()) < 0.03


def test_relu_learns_the_value_and_has_no_second_derivative(claim):
    found = errors("relu")
    claim("sobolev, wave, relu, forced", text(found), "value < 0.1, second 1")
    assert found["value"] < 0.1
    assert found["second"] == 1


def test_elu_whose_second_derivative_jumps_is_between(claim):
    found = errors("elu")
    claim("sobolev, wave, elu, forced", text(found), "second > 0.08 and < 1")
    assert 0.08 < found["second"] < 1


def test_the_value_alone_teaches_the_second_derivative_worse(claim):
    found = errors("tanh", order=0)
    claim("sobolev, wave, tanh on the value alone", text(found), "second > 0.03")
    assert found["second"] > 0.03
