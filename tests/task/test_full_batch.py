from types import SimpleNamespace

import pytest
import torch
from torch import nn

from actsearch.errors import InvalidValueError
from actsearch.task.adam_lbfgs import AdamLBFGS
from actsearch.task.full_batch import FullBatchTask
from actsearch.task.tensors import join


class Line(FullBatchTask):
    """y = 2 x, in 24 rows of which 16 train."""

    epoch_steps = 5

    def __init__(self, **options):
        super().__init__(**options)
        x = torch.linspace(-1, 1, 24)[:, None]
        self.hold_divided(*join((x[:16], 2 * x[:16]), (x[16:20], 2 * x[16:20]), (x[20:], x[20:])))
        self.network = nn.Linear(1, 1)

    def loss(self, batch):
        return self.score(batch)["squared_error"].mean()

    def score(self, batch):
        return {"squared_error": (self.network(batch[0]) - batch[1]).square()}


def optimizer_of(task, epochs):
    task._trainer = SimpleNamespace(max_epochs=epochs, precision="32-true")
    return task.build_optimizer()


def test_parts_are_joined_in_their_order():
    task = Line()
    assert [len(task.select(part)[0]) for part in ("train", "val", "test")] == [16, 4, 4]
    assert torch.equal(task.select("val")[1], 2 * torch.linspace(-1, 1, 24)[16:20, None])
    assert len(task.example_input_array) == 4


def test_half_of_the_steps_are_adams_before_l_bfgs():
    optimizer = optimizer_of(Line(lr=0.3, weight_decay=0.1), 3)
    assert isinstance(optimizer, AdamLBFGS)
    assert optimizer.adam_steps == 8
    assert optimizer.param_groups[0]["lr"] == 0.3
    assert optimizer.param_groups[0]["weight_decay"] == 0.1
    assert not isinstance(optimizer_of(Line(optimizer="adam"), 3), AdamLBFGS)


def test_l_bfgs_wants_all_rows_in_a_batch_and_adam_does_not():
    with pytest.raises(InvalidValueError, match="batch_size must be at least 16, all"):
        Line(batch_size=15)
    assert len(list(Line(batch_size=16).train_dataloader())) == 5
    assert len(list(Line(batch_size=8, optimizer="adam").train_dataloader())) == 6
