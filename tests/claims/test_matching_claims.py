"""The one-neuron problem: ELU is exact, and what each other activation leaves."""

import lightning.pytorch as L
import pytest

from actsearch import Placement, find_sites
from actsearch.search.training.target import LEAN_TRAINER
from actsearch_tasks.matching import Matching

pytestmark = [pytest.mark.claim, pytest.mark.long]


def leaky(slope):
    return {"activation": "leaky_relu", "parameters": {"negative_slope": slope}}


FLOORS = {
    "relu": ("relu", 5.581e-3),
    "leaky 0.01": (leaky(0.01), 5.009e-3),
    "leaky 0.1": (leaky(0.1), 1.686e-3),
    "leaky 0.3": (leaky(0.3), 1.254e-2),
    "prelu": ({"activation": "prelu", "learn": ["negative_slope"]}, 1.478e-3),
    "tanh": ("tanh", 4.294e-3),
    "sigmoid": ("sigmoid", 4.294e-3),
    "silu": ("silu", 1.439e-3),
    "swish": ({"activation": "swish", "learn": ["beta"]}, 1.439e-3),
    "gelu": ("gelu", 1.681e-3),
    "selu": ("selu", 9.10e-4),
    "softplus": ("softplus", 4.67e-4),
}
"""What least squares leaves at best, from 40 starts."""


def error(activation):
    L.seed_everything(0, verbose=False)
    task = Matching()
    if activation != "relu":
        Placement.uniform(activation, find_sites(task)).apply(task)
    trainer = L.Trainer(**LEAN_TRAINER | {"accelerator": "cpu", "max_epochs": 1})
    trainer.fit(task)
    return float(trainer.callback_metrics["val_loss"])


def test_elu_is_exact(claim):
    found = error("elu")
    claim("matching, elu, best of 16 starts: mean squared error", f"{found:.2g}", "< 1e-8")
    assert found < 1e-8


@pytest.mark.parametrize("name", FLOORS)
def test_others_keep_an_error(name, claim):
    activation, floor = FLOORS[name]
    found = error(activation)
    claim(f"matching, {name}", f"{found:.4g}", f"{floor:.4g} within 1 %")
    assert found == pytest.approx(floor, rel=0.01)
