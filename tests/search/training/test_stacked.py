"""Several seeds trained as one network come to what each comes to alone, or are trained alone."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from statistics import stdev

import pytest
import torch
from safetensors.torch import load_file

from actsearch import Placement
from actsearch.search.space.search_space import SearchSpace
from actsearch.search.study.resolve import study_config
from actsearch.search.training.stacked.compare import why_one_by_one
from actsearch.search.training.train import run_job

MODULE = """
import torch
from torch import nn
import lightning.pytorch as L
from torchmetrics import MeanMetric

class Rows(torch.utils.data.Dataset):
    def __init__(self, x, y):
        self.x, self.y = x, y
    def __len__(self):
        return len(self.x)
    def __getitem__(self, row):  # draws, as an augmentation does
        return {"x": self.x[row] + 0.01 * torch.randn(2), "y": self.y[row]}

class Net(L.LightningModule):
    def __init__(self, wrong: str = "", split_seed: int = 0):
        super().__init__()
        self.wrong = wrong
        self.split_seed = split_seed
        self.automatic_optimization = wrong != "manual"
        noise = [nn.Dropout(0.1)] if wrong == "dropout" else []
        noise += [nn.BatchNorm1d(8)] if wrong == "running" else []
        self.net = nn.Sequential(nn.Linear(2, 8), *noise, nn.ReLU(), nn.Linear(8, 1))
        self.mean = MeanMetric()

    def loss(self, batch):
        x, y = (batch["x"], batch["y"]) if isinstance(batch, dict) else batch
        return nn.functional.mse_loss(self.net(x), y)

    def training_step(self, batch, index):
        loss = self.loss(batch)
        if self.wrong == "control" and loss.item() > 1e9:
            loss = 0 * loss
        if self.wrong == "looks" and type(self.net[1]).__name__ == "Tanh":
            loss = 2 * loss
        if self.wrong == "manual":
            self.optimizers().zero_grad()
            self.manual_backward(loss)
            self.optimizers().step()
            return None
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        self.log("last_loss", loss)
        return loss

    def validation_step(self, batch, index):
        loss = self.loss(batch)
        self.log("val_loss", loss)
        self.mean.update(loss)
        self.log("val_mean", self.mean)

    def test_step(self, batch, index):
        self.log("test_loss", self.loss(batch))

    def configure_optimizers(self):
        decayed = [p for p in self.parameters() if p.dim() > 1]
        others = [p for p in self.parameters() if p.dim() < 2]
        groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0}]
        if self.wrong == "optimiser":
            return torch.optim.LBFGS(self.parameters())
        if self.wrong == "rprop":
            return torch.optim.Rprop(self.parameters(), lr=1e-2)
        if self.wrong == "sgd":
            momentum = {"momentum": 0.9, "weight_decay": 0.01}
            optimizer = torch.optim.SGD(self.parameters(), lr=1e-2, **momentum)
            warm = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=2)
            return [optimizer], [warm]
        optimizer = torch.optim.AdamW(groups, lr=1e-2)
        if self.wrong == "plateau":
            plan = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
            return {"optimizer": optimizer, "lr_scheduler": plan, "monitor": "val_loss"}
        steps = self.trainer.estimated_stepping_batches
        plan = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps)
        return [optimizer], [{"scheduler": plan, "interval": "step"}]

    def loader(self, seed, shuffle=False):
        generator = torch.Generator().manual_seed(seed + 10 * self.split_seed)
        x = torch.randn(70, 2, generator=generator)
        y = (x[:, :1] * x[:, 1:]).sin()
        data, options = torch.utils.data.TensorDataset(x, y), {}
        if self.wrong in ("workers", "at work"):
            options = {"num_workers": 1}
        if self.wrong == "subset":
            data = torch.utils.data.Subset(data, range(60, 0, -2))
            data = torch.utils.data.Subset(data, range(5, 28))
        if self.wrong in ("drawn", "number", "at work"):
            data, options = Rows(x, y), {"collate_fn": self.join, **options}
        return torch.utils.data.DataLoader(data, 16, shuffle=shuffle, **options)

    def join(self, rows):
        batch = torch.utils.data.default_collate(rows)
        return batch | {"number": 3} if self.wrong == "number" else batch

    def train_dataloader(self):
        return self.loader(0, shuffle=True)

    def val_dataloader(self):
        return self.loader(1)

    def test_dataloader(self):
        return self.loader(2)

class Hooked(Net):
    def on_train_batch_end(self, *given):
        pass
"""


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A job of a user's own module, by options of it."""
    (tmp_path / "seeds.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def make(name="Net", **config):
        space = SearchSpace(activations={"relu": None})
        options = {"trainer.max_epochs": 3, **config}
        study = study_config(f"seeds.{name}", space, config=options, objectives=["val_loss:min"])
        return study.job(None, stacked=True)

    yield make
    sys.modules.pop("seeds", None)


def together(jobs):
    """What jobs come to beside each other."""
    result = run_job(replace(jobs[0], further=jobs[1:]), lambda *_: False)
    assert not result.one_by_one
    return [result, *result.further]


def ends(job, seeds=(0, 1, 5)):
    """What seeds come to alone and beside each other."""
    jobs = [replace(job, seed=seed) for seed in seeds]
    alone = [run_job(one, lambda *_: False) for one in jobs]
    assert why_one_by_one(job) == ""
    beside = together(jobs)
    assert all(result.state == "complete" for result in [*alone, *beside]), alone
    return alone, beside


def assert_same(alone, beside, tolerance=1e-5):
    for one, other in zip(alone, beside, strict=True):
        assert one.metrics == pytest.approx(other.metrics, rel=tolerance, abs=tolerance)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"trainer.gradient_clip_val": 0.05},
        {"trainer.gradient_clip_val": 0.01, "trainer.gradient_clip_algorithm": "value"},
        {"trainer.accumulate_grad_batches": 2},
        {"trainer.limit_train_batches": 3, "trainer.limit_val_batches": 2},
        {"trainer.check_val_every_n_epoch": 3},
        {"task.wrong": "drawn"},
        {"task.wrong": "drawn", "trainer.limit_train_batches": 3},
        {"task.wrong": "workers"},
        {"task.wrong": "subset"},
    ],
)
def test_a_seed_comes_to_what_it_comes_to_alone(job, config):
    assert_same(*ends(job(**config)))


@pytest.mark.parametrize("entry", ["silu", "prelu", "rational"])
def test_with_a_placement(job, entry):
    placed = replace(job(), placement=Placement.uniform(entry, ["net.1"]), learning_rate_factor=3.0)
    assert_same(*ends(placed))


def test_in_the_classification_task():
    space, config = SearchSpace(activations={"relu": None}), {"trainer.max_epochs": 8}
    study = study_config("classification", space, config=config)
    assert_same(*ends(study.job(None), (0, 1)), 1e-4)


def test_the_best_epoch_of_each_seed_counts_for_it(job):
    assert_same(*ends(replace(job(**{"trainer.max_epochs": 6}), score="best")))


def test_a_confirmation_tests_each_seed_and_its_own_split(job):
    jobs = [replace(job(), kind="confirm", seed=s, split=("task.split_seed", s)) for s in (3, 4)]
    alone = [run_job(one, lambda *_: False) for one in jobs]
    beside = together(jobs)
    assert_same(alone, beside)
    assert alone[0].metrics["test_loss"] != alone[1].metrics["test_loss"]


def test_the_first_seeds_weights_and_steps_are_kept(job, tmp_path):
    kept = [replace(job(), repeats=2, stacked=s, folder=str(tmp_path / str(s))) for s in (0, 1)]
    alone, beside = (run_job(one, lambda *_: False) for one in kept)
    assert_same([alone], [beside])
    assert alone.first_steps.losses == pytest.approx(beside.first_steps.losses, rel=1e-5)
    assert alone.first_steps.gradient == pytest.approx(beside.first_steps.gradient, rel=1e-5)
    weights = [load_file(tmp_path / str(s) / "weights.safetensors") for s in (0, 1)]
    assert list(weights[0]) == list(weights[1])
    for name, weight in weights[0].items():
        torch.testing.assert_close(weight, weights[1][name], rtol=1e-4, atol=1e-6)


def test_each_has_its_own_learning_rate(job):
    jobs = [replace(job(), learning_rate_factor=rate) for rate in (1.0, 3.0, 0.1)]
    for sgd in (False, True):
        jobs = [replace(one, config=one.config | {"task": {"wrong": "sgd" * sgd}}) for one in jobs]
        alone = [run_job(one, lambda *_: False) for one in jobs]
        assert len({one.metrics["val_loss"] for one in alone}) == (3 if sgd else 1), (
            "a schedule with rates of its own leaves no room for a factor"
        )
        assert_same(alone, together(jobs))


def test_rates_do_not_mix_where_a_step_does_not_scale(job):
    one = job(**{"task.wrong": "rprop"})
    result = run_job(replace(one, further=[replace(one, learning_rate_factor=2.0)]), str)
    assert result.one_by_one == "a step of Rprop does not scale with its learning rate"
    assert (result.state, result.further) == ("failed", [])


def test_each_has_its_own_activation_where_none_learns(job):
    names = ["relu", "tanh", "gelu", "leaky_relu"]
    jobs = [
        replace(job(), placement=Placement.uniform(name, ["net.1"]), repeats=2, seed=seed)
        for seed, name in enumerate(names)
    ]
    alone = [run_job(one, lambda *_: False) for one in jobs]
    beside = together(jobs)
    assert_same(alone, beside)
    assert len({one.metrics["val_loss"] for one in beside}) == 4
    for one, other in zip(alone, beside, strict=True):
        assert one.spread == pytest.approx(other.spread, rel=1e-3, abs=1e-5)
        assert one.first_steps.losses == pytest.approx(other.first_steps.losses, rel=1e-5)
        assert one.first_steps.gradient == pytest.approx(other.first_steps.gradient, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("prelu", "activations that differ learn"), ("rrelu", "activations that differ draw")],
)
def test_activations_that_differ_may_not_learn_or_draw(job, name, reason):
    one, other = (replace(job(), placement=Placement.uniform(n, ["net.1"])) for n in ("relu", name))
    assert reason in run_job(replace(one, further=[other]), str).one_by_one
    bare = replace(one, placement=None)
    result = run_job(replace(bare, further=[one]), str)
    assert result.one_by_one == "its candidates stand at different sites"


def test_a_module_that_looks_at_its_activations_trains_them_one_by_one(job):
    one, other = (
        replace(job(**{"task.wrong": "looks"}), placement=Placement.uniform(name, ["net.1"]))
        for name in ("relu", "tanh")
    )
    result = run_job(replace(one, further=[other]), str)
    assert re.match("its first loss is .* alone, .* beside other activations", result.one_by_one)
    assert not result.further


def test_one_that_diverges_leaves_the_others_alone(job):
    one = job(**{"task.wrong": "sgd"})
    jobs = [replace(one, learning_rate_factor=rate) for rate in (1.0, 1e30, 0.1)]
    alone = [run_job(single, lambda *_: False) for single in jobs]
    beside = together(jobs)
    assert [result.state for result in beside] == ["complete", "failed", "complete"]
    assert alone[1].reason == beside[1].reason
    assert_same([alone[0], alone[2]], [beside[0], beside[2]])


def test_an_epoch_reports_the_mean_over_the_seeds(job):
    seen = []
    result = run_job(replace(job(), repeats=3), lambda epoch, metrics: seen.append(metrics))
    assert not result.one_by_one
    assert len(result.history) == len(seen) == 3
    assert seen[-1]["val_loss"] == pytest.approx(result.metrics["val_loss"])


@pytest.mark.parametrize("stacked", [True, False])
def test_each_seeds_curve_and_their_spread_are_told(job, stacked):
    result = run_job(replace(job(), repeats=3, stacked=stacked), lambda *_: False)
    curves = result.curves["val_loss"]
    assert [len(curve) for curve in curves] == [3, 3, 3]
    assert [m["val_loss"] for _, m in result.history] == pytest.approx(
        [sum(epoch) / 3 for epoch in zip(*curves, strict=True)]
    )
    assert result.spread["val_loss"] == pytest.approx(stdev(curve[-1] for curve in curves))
    assert len({curve[-1] for curve in curves}) == 3


def test_a_stack_is_stopped_as_one(job):
    result = run_job(replace(job(), repeats=3), lambda epoch, metrics: epoch == 1)
    assert (result.state, result.reason, len(result.history)) == ("pruned", "pruned", 2)


@pytest.mark.filterwarnings("ignore:Trying to infer the .batch_size.")
@pytest.mark.parametrize(
    ("name", "config", "reason"),
    [
        ("Net", {"task.wrong": "dropout"}, "random operation"),
        ("Net", {"task.wrong": "control"}, r"\.item\(\)"),
        ("Net", {"task.wrong": "manual"}, "it optimises by itself"),
        ("Net", {"task.wrong": "optimiser"}, "LBFGS may mix the numbers of a tensor"),
        ("Net", {"task.wrong": "plateau"}, "its schedule follows a metric"),
        ("Net", {"task.wrong": "running"}, "val_loss is .* alone"),
        ("Net", {"task.wrong": "number"}, "a batch has int beside tensors"),
        ("Net", {"task.wrong": "at work"}, "its loaders have workers"),
        ("Hooked", {}, "it has a on_train_batch_end of its own"),
        ("Net", {"trainer.val_check_interval": 0.5}, "it validates within an epoch"),
        ("Net", {"trainer.enable_progress_bar": True}, "its trainer has callbacks"),
        ("Net", {"trainer.precision": "bf16-mixed"}, "its precision"),
    ],
)
def test_what_cannot_stand_beside_others_says_why(job, name, config, reason):
    one = job(name, **config)
    assert re.search(reason, why_one_by_one(one))
    inspected = run_job(replace(one, kind="inspect"), lambda *_: False)
    assert inspected.model_info.one_by_one == why_one_by_one(one)


def test_a_placement_that_cannot_is_trained_one_by_one(job):
    drawing = Placement.uniform("rrelu", ["net.1"])
    several = replace(job(), placement=drawing, repeats=2)
    result = run_job(several, lambda *_: False)
    assert "random" in result.one_by_one
    alone = run_job(replace(several, stacked=False), lambda *_: False)
    assert (result.state, result.metrics) == (alone.state, alone.metrics)
    assert alone.one_by_one == ""
