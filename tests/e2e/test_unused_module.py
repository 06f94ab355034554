"""A module with parts that its forward does not call.

What nothing calls is left alone, what the training step calls is not.
"""

from __future__ import annotations

import importlib
import sys

import pytest
from torch import nn

import actsearch as package
from actsearch.activations.base import Activation
from actsearch.errors import ActsearchWarning
from actsearch.search.study.record import StudyRun
from actsearch.search.study.store import Store

UNUSED = """
import torch
from torch import nn
from own import Own

class Unused(Own):
    def __init__(self):
        super().__init__()
        self.never = nn.ReLU()
        self.neither = nn.Sequential(nn.Linear(1, 4), nn.Tanh())
        self.projector = nn.Sequential(nn.Linear(1, 4), nn.ReLU(), nn.Linear(4, 1))

    def training_step(self, batch, index):
        x, y = batch
        found = self(x)
        return nn.functional.mse_loss(found, y) + nn.functional.mse_loss(self.projector(found), y)
"""

FEW = package.SearchSpace(activations=dict.fromkeys(("relu", "tanh", "elu")), granularity="layer")


@pytest.fixture
def unused(own):
    (own / "unused.py").write_text(UNUSED)
    sys.modules.pop("unused", None)
    yield importlib.import_module("unused")
    sys.modules.pop("unused", None)


@pytest.mark.parametrize("executor", ["inline", "local"])
def test_what_is_never_called_is_not_searched_and_a_training_steps_part_is(unused, executor):
    found = package.run_search(
        unused.Unused,
        FEW,
        trials=3,
        confirm=0,
        executor=executor,
        study="s",
        config={"trainer.max_epochs": 1},
    )
    assert set(found.best.sites) == {"net.1", "net.3", "projector.1"}
    sites = StudyRun.load(Store("mlruns"), "s").model_info.sites
    protected = {site.name: site.reason for site in sites if site.protected}
    assert set(protected) == {"never", "neither.1"}
    assert all(reason.startswith("never called") for reason in protected.values())
    assert {name for trial in found.trials for name in trial.params} == {
        "net.1",
        "net.3",
        "projector.1",
    }
    with pytest.warns(ActsearchWarning, match="not confirmed"):
        model = found.best.apply(unused.Unused())
    assert [type(part) for part in (model.never, model.neither[1])] == [nn.ReLU, nn.Tanh]
    assert isinstance(model.projector[1], Activation)
