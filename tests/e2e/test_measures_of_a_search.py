"""Any measure, ours or a user's own, is logged, optimised and bounded by name, in any search."""

from __future__ import annotations

import math

import pytest

from actsearch.errors import ActsearchError
from actsearch.measures import Measure
from actsearch.run import run_search
from actsearch.search.study.record import StudyRun, result_of
from actsearch.search.study.store import Store
from actsearch.tracking.ending import ending


class Reach(Measure):
    """Largest weight.

    Args:
        power: that it is raised to.
    """

    name = "reach"
    direction = "min"
    when = "epoch"

    def __init__(self, power: float = 1.0) -> None:
        self.power = power

    def __call__(self, fitted):
        return float(max(p.detach().abs().max() for p in fitted.module.parameters()) ** self.power)


class Costly(Reach):
    """A measure of what is confirmed alone."""

    name = "costly"
    when = "confirm"


def search(own, **options):
    given = {"config": {"trainer.max_epochs": 2}, "trials": 2, "confirm": 0, **options}
    run_search("own.Own", "rectifiers", store=own / "store", study="s", executor="inline", **given)
    return StudyRun.load(Store(own / "store"), "s")


def test_a_measure_is_optimised_bounded_and_logged_with_its_options(own):
    run = search(
        own,
        objectives=["val_loss", "gradient_variance"],
        require=["parameters <= 10"],
        measures={"isotropy": {}, Reach: {"power": 2.0}},
    )
    assert run.config.objectives == ["val_loss:min", "gradient_variance:min"]
    result = result_of(run.trials[0])
    assert run.trials[0].values == [result.metrics["val_loss"], result.metrics["gradient_variance"]]
    assert 0 <= result.metrics["isotropy"] <= 1
    assert [violated.partition(" ")[0] for violated in result.violated] == ["parameters"]
    assert ending(run).startswith("No trial keeps to the bounds: 2 broke one, the last parameters")
    assert [metrics["reach"] > 0 for _, metrics in result.history] == [True, True]


def test_a_measure_of_each_epoch_feeds_the_pruner(own):
    run = search(own, objectives=["reach"], measures=[Reach])
    first = run.trials[0]
    assert first.intermediate_values == {
        step: metrics["reach"] for step, metrics in result_of(first).history
    }
    assert StudyRun.load(Store(own / "store"), "s").job(None).objectives == []


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_measure_is_taken_every_few_epochs_and_changes_nothing_of_a_training(own, seeds):
    given = {"config": {"trainer.max_epochs": 5}, "trials": 1, "seeds_per_trial": seeds}
    names = ["gradient_flow", "gradient_ratio"]
    plain = search(own, objectives=["val_loss:min"], **given)
    run = search(
        own / "other", objectives=["gradient_ratio:max"], measures=names, measure_every=2, **given
    )
    result = result_of(run.trials[0])
    taken = [epoch for epoch, metrics in result.history if "gradient_ratio" in metrics]
    assert taken == [1, 3]
    norms = [m for m in result.history[1][1] if m.startswith("gradient_flow/gradient_norm/")]
    assert result.history[1][1][norms[0]] != result.history[3][1][norms[0]] > 0
    assert result.metrics["gradient_ratio"] == run.trials[0].value
    expected = result_of(plain.trials[0])
    assert result.metrics["val_loss"] == expected.metrics["val_loss"]
    with pytest.raises(ActsearchError, match=r"measure_every must be at least 0.* but got -1"):
        search(own / "third", measures=names, measure_every=-1)


def test_a_costly_measure_is_of_what_is_confirmed_alone(own):
    run = search(own, measures=[Costly], confirm=1, seeds=2)
    assert "costly" not in result_of(run.trials[0]).metrics
    with pytest.raises(ActsearchError, match="costly must be cheap to be an objective or a bound"):
        search(own / "other", measures=[Costly], objectives=["costly"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objectives": ["nonsense:min"]}, "metric 'nonsense' must be logged by Own, but it"),
        ({"measures": ["alignment"]}, "alignment must have views, but Own has none: .* can ha"),
        ({"measures": ["alignment"], "measure_every": 1}, "alignment must have views, but Own has"),
        ({"measures": ["isotrop"]}, "unknown measure 'isotrop'; nearest: isotropy"),
        ({"measures": {"certified_accuracy": {"rad": 1}}}, "unknown option of certified_accuracy"),
        ({"objectives": ["gradient_flow/no:min"]}, "'gradient_flow/no' must be a value of grad"),
        ({"objectives": ["gradient_flow:min"]}, "'gradient_flow' must be a value of grad"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_trained_or_written(own, options, message):
    with pytest.raises(ActsearchError, match=message):
        search(own, **options)
    assert not (own / "store").exists()


def test_the_value_is_a_number_in_a_plain_loop_as_well(tmp_path):
    import torch
    from torch import nn

    def build():
        return nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))

    def train(model, report):
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
        x = torch.randn(16, 2)
        for epoch in range(2):
            loss = (model(x) - x[:, :1]).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            report(epoch, {"val_loss": float(loss.detach())})

    found = run_search(
        train,
        "rectifiers",
        model=build,
        objectives=["val_loss", "reach"],
        measures=[Reach],
        trials=2,
        confirm=0,
        executor="inline",
        store=tmp_path / "store",
    )
    assert all(math.isfinite(value) for value in found.baseline)
