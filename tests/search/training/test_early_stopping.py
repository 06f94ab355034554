"""What does not learn is stopped in its first steps, and nothing else."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from actsearch.errors import InvalidValueError
from actsearch.search.training.early_stopping import EarlyStopping, NoProgress, StoppedError
from actsearch.search.training.job import LossCurve
from actsearch.search.training.reports import DivergedError


def reasons(baseline, losses):
    judge = NoProgress(baseline)
    return [judge.reason(loss) for loss in losses]


def test_a_loss_that_is_not_finite_stops_at_once():
    assert reasons([2.3, 2.0, 1.8, 1.6], [2.3, float("nan")]) == [
        "",
        "diverged: the loss is nan at step 1",
    ]


def test_a_loss_that_stays_where_the_baselines_falls_stops_at_the_end_of_the_window():
    baseline = [2.3, 2.2, 2.1, 2.0, 1.9, 1.8, 1.7, 1.6, 1.5, 1.4]
    *before, last = reasons(baseline, [2.31] * len(baseline))
    assert not any(before)
    assert last == (
        "no better than chance: the loss is 2.31 after 10 steps, where the baseline has fallen by"
        " 0.8"
    )


def test_a_slow_start_is_not_stopped():
    baseline = [2.3, 2.2, 2.1, 2.0, 1.9, 1.8, 1.7, 1.6, 1.5, 1.4]
    assert not any(reasons(baseline, [9.0, 5.0, 3.0, 2.4, 2.3, 2.2, 2.2, 2.1, 2.1, 2.1]))


def test_where_the_baseline_has_not_learned_either_nothing_is_said():
    assert not any(reasons([2.3, 2.3, 2.3, 2.3], [2.4, 2.4, 2.4, 2.4]))


def test_after_the_window_only_divergence_counts():
    *before, last = reasons([2.0, 1.0], [2.0, 1.0, 9.0, 9.0, float("inf")])
    assert not any(before)
    assert last


def test_a_baseline_of_nothing():
    with pytest.raises(InvalidValueError, match="baseline must be losses"):
        NoProgress([])


class Trainer:
    """The part of a trainer that is asked."""

    def __init__(self, batches=100, max_epochs=10, max_steps=-1, scaler=None):
        self.num_training_batches = batches
        self.max_epochs = max_epochs
        self.max_steps = max_steps
        self.precision_plugin = SimpleNamespace(scaler=scaler)
        self.global_step = 0


def started(trainer, baseline=None):
    callback = EarlyStopping(baseline)
    callback.on_train_start(trainer, None)
    return callback


def module_of(gradient):
    """A module whose gradient has this norm."""
    module = nn.Linear(1, 1, bias=False)
    module.weight.grad = torch.full((1, 1), gradient)
    return module


@pytest.mark.parametrize(
    ("trainer", "window"),
    [
        (Trainer(100, 10), 30),
        (Trainer(101, 10), 31),
        (Trainer(10, 1), 5),
        (Trainer(10_000, 10), 200),
        (Trainer(100, 10, max_steps=500), 15),
        (Trainer(float("inf"), 1), 200),
        (Trainer(float("inf"), 1, max_steps=1000), 30),
    ],
)
def test_three_per_cent_of_a_training_are_watched_within_bounds(trainer, window):
    callback = started(trainer)
    for _ in range(window + 3):
        callback.on_train_batch_end(trainer, None, torch.tensor(1.0), None, 0)
    assert callback.found.losses == [1.0] * window


def test_a_candidate_is_watched_as_long_as_its_baseline_was():
    callback = started(Trainer(), LossCurve([2.0, 1.5, 1.0]))
    for loss in (2.0, 1.4, 0.9, 0.8):
        callback.on_train_batch_end(Trainer(), None, {"loss": torch.tensor(loss)}, None, 0)
    assert callback.found.losses == pytest.approx([2.0, 1.4, 0.9])


def test_no_progress_stops_the_training():
    callback = started(Trainer(), LossCurve([2.0, 1.5, 1.0]))
    loss = torch.tensor(2.0)
    for _ in range(2):
        callback.on_train_batch_end(Trainer(), None, loss, None, 0)
    with pytest.raises(StoppedError, match="no better than chance"):
        callback.on_train_batch_end(Trainer(), None, loss, None, 0)


def test_a_loss_that_is_not_finite_ends_it_before_the_step_and_only_in_the_window():
    trainer = Trainer(10, 1)
    callback = started(trainer)
    with pytest.raises(DivergedError, match="training loss became nan in step 1"):
        callback.on_before_backward(trainer, None, torch.tensor(float("nan")))
    callback.on_before_backward(trainer, None, torch.tensor([1.0, 2.0]))
    with pytest.raises(DivergedError, match="training loss became nan in step 1"):
        callback.on_before_backward(trainer, None, torch.tensor([1.0, float("nan")]))
    trainer.global_step = 5
    callback.on_before_backward(trainer, None, torch.tensor(float("nan")))


@pytest.mark.parametrize(("gradient", "word"), [(1e-6, "vanishes"), (1e8, "explodes")])
def test_a_gradient_far_from_the_baselines_stops_it(gradient, word):
    callback = started(Trainer(), LossCurve(gradient=1.0))
    with pytest.raises(StoppedError, match=f"gradient: it {word} to"):
        callback.on_after_backward(Trainer(), module_of(gradient))


@pytest.mark.parametrize("gradient", [1e-4, 1.0, 1e6])
def test_the_first_gradient_alone_is_noted(gradient):
    callback = started(Trainer(), LossCurve(gradient=1.0))
    callback.on_after_backward(Trainer(), module_of(gradient))
    callback.on_after_backward(Trainer(), module_of(float("inf")))
    assert callback.found.gradient == pytest.approx(gradient)


def test_scaled_gradients_may_overflow():
    trainer = Trainer(scaler=object())
    callback = started(trainer)
    callback.on_after_backward(trainer, module_of(float("inf")))
    assert callback.found.gradient is None
    with pytest.raises(DivergedError, match="the first gradient is inf"):
        started(Trainer()).on_after_backward(Trainer(), module_of(float("inf")))


def test_a_module_without_a_loss_is_judged_by_its_gradient_alone():
    callback = started(Trainer(), LossCurve([2.0, 1.5, 1.0], 1.0))
    for _ in range(5):
        callback.on_train_batch_end(Trainer(), None, None, None, 0)
    assert callback.found.losses == []
