"""A task of a few lines, by its laws; what it need not say; its options on the command line."""

from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from actsearch import Site, run_search
from actsearch.cli.main import main
from actsearch.errors import InvalidValueError
from actsearch.search.training.target import Target
from actsearch.task import laws
from actsearch.task.options import PositiveFloat, PositiveInt
from actsearch.task.tensor_task import TensorTask
from actsearch.task.tensors import standardise


class Line(TensorTask):
    """A noisy sine, fitted.

    Args:
        hidden: units.
        lr: learning rate, with a default of its own.
        **options: those of every :class:`TensorTask`.
    """

    def __init__(self, hidden: PositiveInt = 4, lr: PositiveFloat = 0.01, **options: object):
        super().__init__(lr=lr, **options)
        x = torch.linspace(-3, 3, 61)[:, None]
        self.hold(x, x.sin(), (x > 0).long().flatten(), stratify=(x > 0).long().flatten())
        self.network = nn.Sequential(nn.Linear(1, hidden), Site("relu"), nn.Linear(hidden, 1))

    def forward(self, x):
        return self.network(x)

    def loss(self, batch):
        x, y, _ = batch
        return F.mse_loss(self(x), y)

    def score(self, batch):
        x, y, _ = batch
        return {"loss": (self(x) - y).square()}

    def figures(self, part, means):
        return {"decibels": -10 * means["loss"].log10()}


class TestLine(laws.TaskLaws):
    @pytest.fixture
    def task(self):
        return Line

    @pytest.fixture
    def small(self):
        return {}


def test_means_and_figures_are_of_the_whole_split_whatever_the_batches():
    task = laws.build_task(Line, {})
    x, y, _ = task.select("val")
    with torch.no_grad():
        expected = float((task(x) - y).double().square().mean())
    for size in (1024, 5):
        task.eval_batch_size = size
        (found,) = laws.trainer().validate(task, verbose=False)
        assert found["val_loss"] == pytest.approx(expected, rel=1e-5)
        assert 10 ** (-found["val_decibels"] / 10) == pytest.approx(expected, rel=1e-5)


def test_splits_depend_on_split_seed_alone():
    a, b = laws.build_task(Line, {}, seed=0), laws.build_task(Line, {}, seed=1)
    c = laws.build_task(Line, {"split_seed": 1})
    assert [len(rows) for rows in (a.splits.train, a.splits.val, a.splits.test)] == [36, 12, 13]
    assert torch.equal(a.splits.test, b.splits.test)
    assert not torch.equal(a.splits.test, c.splits.test)


def test_inputs_are_scaled_by_what_the_training_split_has():
    task = laws.build_task(Line, {})
    task.hold(task.tensors[0] * 7 + 1, task.tensors[1], scale=standardise)
    train = task.select("train")[0]
    torch.testing.assert_close(train.mean(0), torch.zeros(1), atol=1e-5, rtol=0)
    assert torch.equal(task.example_input_array, train[:4])


def test_a_last_batch_too_small_to_train_on_is_left_out():
    task = laws.build_task(Line, {"batch_size": 35})  # of 36 rows
    assert [len(batch[0]) for batch in task.train_dataloader()] == [35]
    task.least_batch = 1
    assert [len(batch[0]) for batch in task.train_dataloader()] == [35, 1]


@pytest.mark.parametrize(("schedule", "last"), [("cosine", 0.0), ("constant", 0.01)])
def test_the_learning_rate_falls_to_0_or_stays(schedule, last):
    task = laws.build_task(Line, {})
    task.schedule = schedule
    run = laws.trainer(3)
    run.fit(task)
    rates = [group["lr"] for group in run.optimizers[0].param_groups]
    assert rates == pytest.approx([last] * len(rates), abs=1e-12)


def test_options_of_the_base_are_options_of_the_command_line():
    parser = Target("line", Line, None, laws.L.Trainer).parser()
    defaults = parser.get_defaults()["task"]
    assert vars(defaults).keys() == {
        "hidden",
        "lr",
        "batch_size",
        "weight_decay",
        "validation_share",
        "test_share",
        "split_seed",
    }
    assert defaults["lr"] == 0.01
    help_ = " ".join(parser.format_help().split())
    assert "samples of a training step, at least 1." in help_
    assert "learning rate, with a default of its own." in help_


class Slow(Line):
    search_defaults: ClassVar[dict[str, Any]] = {"trials": 2, "confirm": 0}


def test_a_search_has_the_defaults_that_its_task_says_and_what_is_given(tmp_path, capsys):
    def search(**given):
        config = {"trainer.max_epochs": 1}
        return run_search(Slow, config=config, executor="inline", store=tmp_path, **given)

    found = search()
    assert len(found.trials) == 2
    assert found.confirmation is None
    assert len(search(trials=3).trials) == 3
    with pytest.raises(SystemExit):
        main(["search", "gan", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "the baseline included (default: 10)" in told


def test_options_of_a_task_and_of_its_base_are_kept_for_a_checkpoint():
    task = laws.build_task(Line, {"hidden": 3, "test_share": 0.3})
    assert dict(task.hparams) == {
        "hidden": 3,
        "lr": 0.01,
        "batch_size": 32,
        "weight_decay": 0.01,
        "validation_share": 0.2,
        "test_share": 0.3,
        "split_seed": 0,
    }
    assert isinstance(Line(**task.hparams), Line)


def test_shares_that_leave_nothing_to_train_on_are_refused():
    with pytest.raises(
        InvalidValueError, match=r"test_share must be between 0 and 0.4, but got 0.5"
    ):
        Line(validation_share=0.6, test_share=0.5)
