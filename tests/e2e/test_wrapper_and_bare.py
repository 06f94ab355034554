"""A placement found in a LightningModule's ``self.model``, applied to the bare model.

That is done where nothing of a search is installed.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import textwrap

import pytest
import torch

import actsearch as package

BLOCKED = """\
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("optuna", "mlflow", "lightning", "pytorch_lightning"):
            raise ImportError(f"{name} is not to be imported here")

sys.meta_path.insert(0, Block())
"""

NET = """
from torch import nn

def net():
    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1))
"""

WRAPPED = """
import torch
from torch import nn
from net import net
from own import Own

class Wrapped(Own):
    def __init__(self):
        super().__init__()
        del self.net
        self.model = net()

    def forward(self, x):
        return self.model(x)

    def training_step(self, batch, index):
        return nn.functional.mse_loss(self(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-4, weight_decay=0.1)
"""

BARE = """
import json, sys, warnings
import torch
from safetensors.torch import load_file
from actsearch import Placement
from net import net

placement = Placement.load(sys.argv[1])
model = placement.apply(net())
weights = load_file(sys.argv[2])
model.load_state_dict({name.removeprefix("model."): value for name, value in weights.items()})
x = torch.randn(32, 2, generator=torch.Generator().manual_seed(0))
optimizer = torch.optim.AdamW(placement.optimizer_parameters(model, lr=1e-3), weight_decay=0.1)
groups = [
    [g["lr"], g["weight_decay"], sum(p.numel() for p in g["params"])]
    for g in optimizer.param_groups
]
print(json.dumps([model(x).tolist(), groups, [type(model[i]).__name__ for i in (1, 3)]]))
"""

LEARNS = {"relu": None, "prelu": {"negative_slope": {"learn": True, "start": 0.1}}}
FIXED = {"relu": None, "tanh": None, "silu": None}


@pytest.mark.parametrize(
    "activations",
    [pytest.param(LEARNS, id="learned"), pytest.param(FIXED, id="fixed", marks=pytest.mark.long)],
)
def test_bit_for_bit_and_at_the_rate_it_was_found_with(own, activations):
    (own / "net.py").write_text(NET)
    (own / "wrapped.py").write_text(WRAPPED)
    (own / "bare.py").write_text(textwrap.dedent(BLOCKED + BARE))
    sys.modules.pop("wrapped", None)
    sys.modules.pop("net", None)
    module = importlib.import_module("wrapped")
    space = package.SearchSpace(activations=activations, granularity="layer")
    found = package.run_search(
        module.Wrapped,
        space,
        config={"trainer.max_epochs": 2},
        trials=10 if activations is FIXED else 3,
        confirm=1,
        seeds=2,
        executor="inline",
        study="s",
    )
    assert set(found.best.sites) == {"model.1", "model.3"}
    factor = found.best.learning_rate_factor
    if activations is FIXED:
        assert factor > 1, "the module's own rate is far too low"
    file = found.folder / ("best.json" if found.verdict == "better" else "candidate.json")
    weights = (
        found.folder / "confirmed" / f"{found.best.found['trial']:05d}" / "weights.safetensors"
    )

    trained = module.Wrapped()
    package.Placement.model_validate({**json.loads(file.read_text()), "found": {}}).apply(trained)
    from safetensors.torch import load_file

    trained.load_state_dict(load_file(weights))
    x = torch.randn(32, 2, generator=torch.Generator().manual_seed(0))
    command = [sys.executable, "bare.py", str(file), str(weights)]
    done = subprocess.run(command, cwd=own, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    outputs, groups, names = json.loads(done.stdout)
    assert torch.equal(torch.tensor(outputs), trained(x).detach())
    assert names == [type(trained.model[i]).__name__ for i in (1, 3)]
    assert [lr for lr, *_ in groups] == [pytest.approx(1e-3 * factor)] * len(groups)
    plain = sum(p.numel() for p in module.Wrapped().parameters())
    learned = sum(p.numel() for p in trained.parameters()) - plain
    wanted = [[0.1, plain]] + [[0.0, learned]] * (learned > 0)
    assert [group[1:] for group in groups] == wanted
    assert (learned > 0) == (activations is LEARNS)
    assert ("not confirmed as better" in done.stderr) == (found.verdict != "better")
