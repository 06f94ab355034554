"""Classes that no file has: of a script's own ``__main__``, and of a notebook's cells.

Each trial still has its own process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CLASSES = """
import torch
from torch import nn
import lightning.pytorch as L

SCALE = 2.0

def target(x):
    return (SCALE * x[:, :1] * x[:, 1:]).sin()

class Net(L.LightningModule):
    def __init__(self, width=8):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
        )

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, index):
        return nn.functional.mse_loss(self(batch[0]), batch[1])

    def validation_step(self, batch, index):
        self.log("val_loss", nn.functional.mse_loss(self(batch[0]), batch[1]))
        self.log("width", float(self.net[0].out_features))
        self.log("rows", float(self.trainer.datamodule.rows))

    def test_step(self, batch, index):
        self.log("test_loss", nn.functional.mse_loss(self(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)

class Data(L.LightningDataModule):
    def __init__(self, rows=64):
        super().__init__()
        self.rows = rows

    def loader(self, seed):
        x = torch.randn(self.rows, 2, generator=torch.Generator().manual_seed(seed))
        data = torch.utils.data.TensorDataset(x, target(x))
        return torch.utils.data.DataLoader(data, batch_size=16)

    def train_dataloader(self):
        return self.loader(0)

    def val_dataloader(self):
        return self.loader(1)

    def test_dataloader(self):
        return self.loader(2)
"""

SPACE = """
import actsearch
few = actsearch.SearchSpace(activations={"relu": None, "tanh": None, "silu": None})
common = {"trials": 3, "config": {"trainer.max_epochs": 2}, "learning_rate": "fixed", "study": "s"}
"""

PLAIN = """
searched = actsearch.run_search(Net, few, data=Data, confirm=1, seeds=2, **common)
confirmed = searched
"""

OPTIONS = """
net, data = (Net, {"width": 4}), (Data, {"rows": 48})
searched = actsearch.run_search(net, few, data=data, confirm=0, **common)
"""

CONFIRM = """
confirmed = actsearch.confirm("s", task=Net, data=Data, top=1, seeds=2)
"""

SHOW = """
import json, logging
metrics = [t.user_attrs["outcome"]["metrics"] for t in searched.trials]
found = {
    "states": [t.state.name for t in searched.trials],
    "seen": sorted({(m["width"], m["rows"]) for m in metrics}),
    "confirmed": [t.values for t in confirmed.trials] == [t.values for t in searched.trials],
    "scores": list(confirmed.confirmation.scores.values()),
    "failures": confirmed.confirmation.failures,
    "metric": confirmed.confirmation.metric,
    "logging": [logging.getLogger().handlers, logging.getLogger().level],
}
print(json.dumps(found))
print(Net().net[0].out_features, type(few).__name__)  # nothing of the session is gone
"""

NOTEBOOK = """
import json, sys
namespace = sys.modules["__main__"].__dict__
for index, cell in enumerate(json.load(open("cells.json"))):
    exec(compile(cell, f"/tmp/ipykernel_1/{index}.py", "exec"), namespace)
"""

LATER = """
import actsearch

def confirm(**given):
    found = actsearch.confirm("s", top=1, seeds=3, executor="inline", **given)
    print(len(found.confirmation.scores), found.confirmation.failures)

try:
    confirm()
except actsearch.ActsearchError as error:
    print(error)
"""


def run(folder: Path, *command: str) -> list[str]:
    """Run a session of Python in a folder, and return what it prints."""
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout.strip().splitlines()


def check(printed: list[str], width: float, rows: float) -> None:
    """Check what :data:`SHOW` printed: everything ran with these options."""
    found = json.loads(printed[-2])
    assert printed[-1] == "8 SearchSpace"
    assert found["states"] == ["COMPLETE"] * 3
    assert found["seen"] == [[width, rows]]
    assert found["confirmed"]
    assert found["metric"] == "test_loss"
    assert found["logging"] == [[], 30], "the user's own is left as it is"
    assert len(found["scores"]) == 4
    assert all(isinstance(score, float) for score in found["scores"])
    assert not found["failures"]


@pytest.mark.long
def test_classes_of_a_script(tmp_path):
    """Without a main guard: what a user writes first."""
    (tmp_path / "go.py").write_text("".join([CLASSES, SPACE, PLAIN, SHOW]))
    check(run(tmp_path, "go.py"), 8, 64)


@pytest.mark.long
def test_classes_and_options_in_a_notebook_and_later_in_another_session(tmp_path):
    """Cells run in a ``__main__`` without a file, as IPython has it.

    The other session has to give the classes again.
    """
    (tmp_path / "cells.json").write_text(json.dumps([CLASSES, SPACE, OPTIONS, CONFIRM, SHOW]))
    check(run(tmp_path, "-c", NOTEBOOK), 4, 48)
    (tmp_path / "later.py").write_text(LATER + CLASSES + "confirm(task=Net, data=Data)\n")
    told, scores = run(tmp_path, "later.py")
    assert "'__main__.Net' must name a class, but __main__ has no 'Net'" in told
    assert scores == "6 {}"


@pytest.mark.long
def test_a_notebook_shows_what_it_has(tmp_path):
    """By Jupyter's own client: bars while it searches, then tables and pictures."""
    import nbformat
    from nbclient import NotebookClient

    cells = [
        CLASSES + SPACE,
        "actsearch.find_sites(Net())",
        "found = actsearch.run_search(Net, few, data=Data, confirm=1, seeds=2, **common)",
        "found",
        "found.best",
        "found.confirmation",
        "found.show()",
        "found.to_pandas()",
    ]
    book = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells)))
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(book, timeout=200, kernel_name="python3", resources=where).execute()
    outputs = [[one["data"] for one in cell.outputs if "data" in one] for cell in book.cells]
    shown = [[data.get("text/html", "") for data in cell] for cell in outputs]
    assert [bool(html and html[-1]) for html in shown] == [False, *[True] * 5, False, True]
    (bars,) = shown[2]
    assert bars.count("━") >= 40
    assert "3/3" in bars
    assert "confirming" in bars
    assert all("<table" in html[-1] for html in (shown[1], *shown[3:6], shown[7]))
    pictures = list((tmp_path / "mlruns/studies/s/report").glob("*.png"))
    assert len(outputs[6]) == len(pictures) >= 4
    assert all("image/png" in data for data in outputs[6])
