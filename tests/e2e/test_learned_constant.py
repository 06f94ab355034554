"""Activations with a learned constant on a tanh model.

They are placed, searched, confirmed, saved, loaded and trained.
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings

import pytest
import torch
from optuna.trial import TrialState

import actsearch as package
from actsearch.search.study.record import result_of

TANH = """
from torch import nn
from own import Own

class Tanh(Own):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1)
        )
"""

SPACE = """# Forms with a constant that training sets.
granularity: model
activations:
  mul(x,a):
  add(tanh(x),mul(a,x)):
  swish: {beta: {learn: true, start: 1.0}}
  snake: {frequency: {learn: true, start: 1.0}}
"""


@pytest.fixture
def tanh(own):
    (own / "tanhs.py").write_text(TANH)
    (own / "constants.yaml").write_text(SPACE)
    sys.modules.pop("tanhs", None)
    yield importlib.import_module("tanhs")
    sys.modules.pop("tanhs", None)


@pytest.mark.parametrize("executor", [pytest.param("inline", marks=pytest.mark.long), "local"])
def test_searched_confirmed_saved_loaded_and_applied(tanh, own, executor):
    found = package.run_search(
        tanh.Tanh,
        "constants.yaml",
        config={"trainer.max_epochs": 3},
        trials=5,
        pruner="none",
        confirm=4,
        seeds=2,
        executor=executor,
        study="s",
    )
    assert not [result_of(t).reason for t in found.trials if t.state == TrialState.FAIL]
    placed = [t.params["model"] for t in found.trials if t.user_attrs["placement"] is not None]
    assert set(placed) == {"mul(x,a)", "add(tanh(x),mul(a,x))", "swish", "snake"}
    assert not found.confirmation.failures
    assert len(found.confirmation.candidates) == 4
    for number in found.confirmation.candidates:
        placement = package.Placement.model_validate(found.trials[number].user_attrs["placement"])
        loaded = package.Placement.load(placement.save(own / "one.json"))
        assert loaded == placement
        torch.manual_seed(0)
        model = loaded.apply(tanh.Tanh())
        learned = {
            name: p for name, p in model.named_parameters() if name.split(".")[1] in ("1", "3")
        }
        assert len(learned) == 2, "a constant at each of the two sites"
        before = {name: p.detach().clone() for name, p in learned.items()}
        optimizer = torch.optim.Adam(loaded.optimizer_parameters(model, lr=1e-2))
        x = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
        (model(x) - x[:, :1].sin()).square().mean().backward()
        optimizer.step()
        assert all((p - before[name]).abs().max() > 1e-3 for name, p in learned.items()), (
            "training moves it"
        )


def test_the_file_of_the_search_gives_the_trained_model_back(tanh, own):
    """The file, and the weights that the confirmation kept, with the learned constants in them."""
    found = package.run_search(
        tanh.Tanh,
        "constants.yaml",
        config={"trainer.max_epochs": 2},
        trials=2,
        learning_rate="fixed",
        confirm=1,
        seeds=2,
        executor="inline",
        study="s",
    )
    (file,) = [
        path for name in ("best", "candidate") if (path := found.folder / f"{name}.json").exists()
    ]
    assert package.Placement.load(file) == found.best
    assert json.loads(file.read_text())["found"]["trial"] == 1
    model = tanh.Tanh()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found.best.apply(model)
    assert bool(told) == (found.verdict != "better")
    from safetensors.torch import load_file

    kept = load_file(found.folder / "confirmed" / "00001" / "weights.safetensors")
    assert kept.keys() == model.state_dict().keys()
    fresh = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(kept)
    assert any(
        not torch.equal(fresh[name], value)
        for name, value in kept.items()
        if name.split(".")[1] in ("1", "3")
    )
