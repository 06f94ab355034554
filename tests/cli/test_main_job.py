"""The main job: a search on real data, its mirror in MLflow, and its placement.

The placement is reused without any of it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient
from optuna.trial import TrialState
from torch import nn

from actsearch import Placement
from actsearch.errors import ActsearchWarning
from actsearch.search.confirm.confirmation import Confirmation
from actsearch.search.study.placement_file import placement_file
from actsearch.search.study.record import StudyRun, counts
from actsearch.search.study.store import Store
from actsearch.tracking.ladder import ladder

STATUS = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "FINISHED", TrialState.FAIL: "FAILED"}
BLOCKED = """\
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("optuna", "mlflow", "lightning", "pytorch_lightning"):
            raise ImportError(f"{name} is not to be imported here")

sys.meta_path.insert(0, Block())
"""


def fresh(script: str, folder: Path) -> str:
    """Run a script in an interpreter that has neither Optuna, MLflow nor Lightning."""
    command = [sys.executable, "-c", BLOCKED + textwrap.dedent(script)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def says_what_to_do(result, stdout: str) -> None:
    """Check that the ending follows the verdict: the lines to reuse a winner, or what to keep."""
    winner = result.outcome == "better"
    assert ("Reuse it in your training code" in stdout) is winner
    assert ("Keep your relu" in stdout) is not winner


@pytest.mark.long
@pytest.mark.timeout(600)
def test_thirty_trials_on_digits(tmp_path, monkeypatch, actsearch):
    monkeypatch.chdir(tmp_path)
    options = (
        "--space rectifiers --trials 30 --jobs 2 --study digits --confirm 2 --seeds 2"
        " --trainer.max_epochs 4"
    )
    result = actsearch("search", "classification", *options.split())
    assert result.returncode == 0, result.stderr
    run = StudyRun.load(Store("mlruns"), "digits")
    assert [t.number for t in run.trials] == list(range(len(run.trials)))
    assert sum(map(counts, run.trials)) >= 30
    assert run.trials[0].user_attrs["placement"] is None, "trial 0 is the model's own activations"
    says_what_to_do(Confirmation.read(run), result.stdout)
    assert "the ladder, in validation" in result.stdout
    assert {rung.name for rung in ladder(run)} == {
        "as it is",
        "rate tuned",
        "famous",
        "searched",
        "confirmed",
    }
    assert all(rung.cpu > 0 for rung in ladder(run))

    client = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("classification")
    (parent,) = client.search_runs([experiment.experiment_id], "tags.`actsearch.kind` = 'study'")
    below = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}' and tags.`actsearch.kind`"
    confirmed = client.search_runs([experiment.experiment_id], f"{below} = 'confirm'")
    assert len(confirmed) == len(Confirmation.read(run).scores)
    children = client.search_runs([experiment.experiment_id], f"{below} != 'confirm'")
    assert len(children) == len(run.trials)
    assert parent.data.tags["actsearch.verdict"] == Confirmation.read(run).outcome
    assert parent.data.metrics["confirmed.gain"] == pytest.approx(
        Confirmation.read(run).winner[1].gain
    )
    by_number = {int(child.data.tags["actsearch.trial"]): child for child in children}
    for trial in run.trials:
        child = by_number[trial.number]
        assert child.info.status == STATUS[trial.state]
        if trial.state == TrialState.COMPLETE:
            assert child.data.metrics["val_accuracy"] == pytest.approx(trial.values[0])
    pictures = {file.path for file in client.list_artifacts(parent.info.run_id, "report")}
    assert {
        "report/curves.png",
        "report/history.png",
        "report/sites.png",
        "report/confirmation.png",
    } <= pictures
    assert "## Confirmation" in parent.data.tags["mlflow.note.content"]

    best = Placement.load(placement_file(run))
    assert set(best.sites) == {site.name for site in run.model_info.found.open}
    trial = by_number[best.found["trial"]]
    assert (
        Placement.load(f"runs:/{trial.info.run_id}/placement.json").sites.keys()
        == best.sites.keys()
    )
    fresh(
        f"from actsearch import Placement; Placement.load({str(placement_file(run))!r})", tmp_path
    )


def apply(placement: Placement, model: nn.Module) -> None:
    """Apply a placement that need not be a winner's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ActsearchWarning)
        placement.apply(model)


def test_own_module_and_reuse_bit_for_bit(own, actsearch):
    options = (
        "--space space.yaml --trials 5 --confirm 1 --seeds 2 --store store --study mine"
        " --trainer.max_epochs 2"
    )
    result = actsearch("search", "own.Own", *options.split())
    assert result.returncode == 0, result.stderr
    assert actsearch("best", "mine", "--store", "store", "--output", "best.json").returncode == 0
    best = Placement.load("best.json")
    assert set(best.sites) == {"net.1", "net.3"}
    weights = (
        own / "store/studies/mine/confirmed" / f"{best.found['trial']:05d}" / "weights.safetensors"
    )

    import own as module
    from safetensors.torch import load_file

    trained = module.Own()
    apply(best, trained)
    trained.load_state_dict(load_file(weights))
    x = torch.randn(32, 2, generator=torch.Generator().manual_seed(0))
    expected = trained(x).detach()

    printed = fresh(
        f"""
        import json, torch
        from torch import nn
        from safetensors.torch import load_file
        from actsearch import Placement
        model = nn.Module()
        model.net = nn.Sequential(
            nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1)
        )
        Placement.load("best.json").apply(model)
        model.load_state_dict(load_file({str(weights)!r}))
        x = torch.randn(32, 2, generator=torch.Generator().manual_seed(0))
        print(json.dumps(model.net(x).tolist()))
        """,
        own,
    )
    assert torch.equal(torch.tensor(json.loads(printed)), expected)


def test_pytorch_lightning_module(own, actsearch):
    pytest.importorskip("pytorch_lightning")
    result = actsearch(
        "search",
        "plain.Own",
        "--space",
        "space.yaml",
        "--trials",
        3,
        "--confirm",
        0,
        "--store",
        "store",
        "--trainer.max_epochs",
        1,
    )
    assert result.returncode == 0, result.stderr
    assert all(
        t.state == TrialState.COMPLETE for t in StudyRun.load(Store("store"), "Own-space").trials
    )


def test_same_seed_same_trials_and_another_plan_is_refused(own, actsearch):
    common = [
        "search",
        "own.Own",
        "--space",
        "space.yaml",
        "--confirm",
        0,
        "--store",
        "store",
        "--trainer.max_epochs",
        1,
    ]
    for study in ("a", "b"):
        assert actsearch(*common, "--study", study, "--trials", 4).returncode == 0
    assert actsearch(*common, "--study", "b", "--trials", 6).returncode == 0
    assert actsearch(*common, "--study", "a", "--trials", 6).returncode == 0
    a, b = (
        [(t.params, t.values) for t in StudyRun.load(Store("store"), name).trials] for name in "ab"
    )
    assert a == b
    assert len(a) >= 6
    changed = actsearch(*common, "--study", "a", "--trials", 6, "--task.width", 9)
    assert changed.returncode == 2
    assert "config.task.width: 8 then, 9 now" in changed.stderr
    warm = actsearch(*common, "--study", "c", "--trials", 3, "--task.width", 9, "--warm-start", "a")
    assert warm.returncode == 0, warm.stderr
    best = StudyRun.load(Store("store"), "a").candidates(1)[0]
    assert StudyRun.load(Store("store"), "c").trials[1].params == best.params


def test_lists(own, actsearch):
    assert "rectifiers" in actsearch("spaces").stdout
    assert "classification" in actsearch("tasks").stdout
    shown = actsearch("sites", "own.Own")
    assert "net.1" in shown.stdout
    assert "2 to search" in shown.stdout


def test_sites_takes_data_of_its_own(own, actsearch):
    (own / "apart.py").write_text(
        textwrap.dedent("""
        import lightning.pytorch as L
        import torch
        from own import Own

        class Apart(Own):
            train_dataloader = val_dataloader = test_dataloader = L.LightningModule.train_dataloader

            def forward(self, x):
                if x.shape[1] == 2:  # which no symbolic trace gets past
                    return self.net(x)
                return x.sum()

        class Data(L.LightningDataModule):
            def __init__(self, rows: int = 8):
                super().__init__()
                self.rows = rows

            def train_dataloader(self):
                x, y = torch.zeros(self.rows, 2), torch.zeros(self.rows, 1)
                data = torch.utils.data.TensorDataset(x, y)
                return torch.utils.data.DataLoader(data, batch_size=self.rows)
        """)
    )
    shown = actsearch(
        "sites", "apart.Apart", "--data", "apart.Data", "--data.rows", 5, "--task.width", 4
    )
    assert shown.returncode == 0, shown.stderr
    assert "20" in next(line for line in shown.stdout.splitlines() if "net.1" in line), (
        "elements, of the data's rows"
    )


def test_plain_module_is_what_the_search_left(own):
    """The two lines of the README on a module of the user's own, without a search."""
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU())
    Placement.uniform("silu", ["1"]).save("mine.json")
    x = torch.randn(3, 2)
    assert torch.equal(Placement.load("mine.json").apply(model)(x), nn.functional.silu(model[0](x)))
