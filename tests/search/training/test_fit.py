"""One training: the epoch that counts, its split, the rows it tells, and whose Lightning it is."""

from __future__ import annotations

import sys
import textwrap

import pytest
from torch.nn import Linear

from actsearch.errors import InvalidValueError, TaskError
from actsearch.run import run_search
from actsearch.search.study.record import StudyRun, result_of
from actsearch.search.study.resolve import study_config
from actsearch.search.study.store import Store
from actsearch.search.training.fit import keep
from actsearch.search.training.train import run_job

MODULE = """
import lightning.pytorch as L
import pytorch_lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

LOSSES = [0.9, 0.4, 0.2, 0.6]

class Up(L.LightningModule):
    '''Its loss in validation is best in the third epoch, whose number its weights remember.'''

    def __init__(self, keeps: bool = False, split_seed: int = 5):
        super().__init__()
        self.keeps, self.split_seed = keeps, split_seed
        self.net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
        self.register_buffer("trained", torch.zeros(()))

    def forward(self, x):
        return self.net(x)

    def configure_callbacks(self):
        return [ModelCheckpoint(monitor="val_loss")] if self.keeps else []

    def training_step(self, batch, index):
        return self(batch[0]).square().mean()

    def on_train_epoch_start(self):
        self.trained.fill_(self.current_epoch)

    def validation_step(self, batch, index):
        self.log("val_loss", LOSSES[self.current_epoch])

    def test_step(self, batch, index):
        self.log_dict({"test_loss": self.trained, "test_split": float(self.split_seed)})
        return {"test_loss": self(batch[0]).square().flatten()}

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)

    def train_dataloader(self):
        x = torch.ones(32, 2)
        return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x), batch_size=8)

    val_dataloader = test_dataloader = train_dataloader


class Other(pytorch_lightning.LightningDataModule):
    pass
"""


@pytest.fixture
def up(tmp_path, monkeypatch):
    (tmp_path / "up.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("up", None)


def trained(kind="search", **options):
    config = study_config(
        "up.Up", config={"trainer.max_epochs": 4, **options.pop("config", {})}, **options
    )
    return run_job(config.job(None, kind), lambda *_: False)


def test_the_last_epoch_counts_or_the_best_with_its_weights(up):
    last, best = trained("confirm"), trained("confirm", score="best")
    assert (last.metrics["val_loss"], best.metrics["val_loss"]) == pytest.approx((0.6, 0.2))
    assert (last.metrics["test_loss"], best.metrics["test_loss"]) == (3.0, 2.0)
    assert [m["val_loss"] for _, m in best.history] == pytest.approx([0.9, 0.4, 0.2, 0.6])


@pytest.mark.parametrize(("keeps", "value"), [(False, 0.6), (True, 0.2)])
def test_a_module_that_keeps_its_best_weights_is_judged_by_its_best_epoch(up, keeps, value):
    result = run_search(
        "up.Up", "smooth", trials=2, confirm=0, executor="inline", store=up / "store", study="s",
        config={"trainer.max_epochs": 4, "task.keeps": keeps},
    )  # fmt: skip
    assert result.baseline == pytest.approx([value])
    assert StudyRun.load(Store(up / "store"), "s").model_info.restores_best is keeps
    assert {path.name for path in up.iterdir()} <= {
        "up.py",
        "store",
        "__pycache__",
    }, "checkpoints are left nowhere"


def test_the_seed_of_the_split_is_found_or_named_and_a_confirmation_sets_it(up):
    config = study_config("up.Up", config={"trainer.max_epochs": 1})
    assert config.split_option == "task.split_seed"
    result = run_job(config.job(None, "confirm", split=("task.split_seed", 77)), lambda *_: False)
    assert result.metrics["test_split"] == 77
    assert len(result.rows["test_loss"]) == 32
    with pytest.raises(
        InvalidValueError,
        match=r"split_option must be .* but got 'task.fold'. Options: task.keeps, task",
    ):
        study_config("up.Up", split_option="task.fold")


def test_repeats_are_averaged_and_cost_what_they_cost(up):
    config = study_config("up.Up", config={"trainer.max_epochs": 1})
    once = run_job(config.job(None), lambda *_: False)
    seen = []
    thrice = run_job(config.job(None, repeats=3), lambda *report: seen.append(report) or False)
    assert thrice.metrics["val_loss"] == pytest.approx(once.metrics["val_loss"])
    assert len(seen) == 1, "the first alone is reported"
    assert thrice.cpu > 0
    assert thrice.seconds > 0


def test_module_and_data_of_two_lightnings_are_told_before_anything_runs(up):
    with pytest.raises(
        TaskError,
        match=r"up.Up is of lightning and up.Other of pytorch_lightning. Import both from",
    ):
        study_config("up.Up", data="up.Other")


def test_what_a_trial_costs_is_recorded(up):
    config = {"trainer.max_epochs": 1}
    run_search(
        "up.Up",
        "smooth",
        trials=2,
        confirm=0,
        executor="inline",
        store=up / "s",
        study="s",
        config=config,
    )
    assert all(result_of(t).cpu > 0 for t in StudyRun.load(Store(up / "s"), "s").trials)


def test_kept_weights_have_the_mode_of_any_other_file(tmp_path):
    keep(Linear(1, 1), tmp_path, pictures=False)
    (tmp_path / "other").touch()
    (weights,) = tmp_path.glob("*.safetensors")
    assert weights.stat().st_mode == (tmp_path / "other").stat().st_mode
