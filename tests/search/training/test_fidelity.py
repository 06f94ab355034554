"""A pruner judges by epochs, by trainings on a share of the data, or by both.

What learns nothing is stopped at once.
"""

from __future__ import annotations

import pytest

from actsearch.errors import ActsearchWarning, InvalidValueError
from actsearch.run import run_search
from actsearch.search.space.search_space import SearchSpace
from actsearch.search.study.record import StudyRun, result_of
from actsearch.search.study.resolve import study_config
from actsearch.search.study.store import Store
from actsearch.search.training.job import LossCurve
from actsearch.search.training.train import run_job


def search(own, space, task="classification", **options):
    given = {
        "store": own / "store",
        "executor": "inline",
        "learning_rate": "fixed",
        "study": "s",
        "sampler": "random",
        "confirm": 0,
    }
    run_search(task, SearchSpace(activations=space), **{**given, **options})
    return StudyRun.load(Store(own / "store"), "s")


@pytest.mark.parametrize(
    ("fidelity", "steps"),
    [
        pytest.param("epochs", [0, 1, 2], marks=pytest.mark.long),
        pytest.param("data", [1, 3], marks=pytest.mark.long),
        ("both", [1, 3, 9, 10, 11]),
    ],
)
def test_what_the_pruner_sees(own, fidelity, steps):
    space = dict.fromkeys(["relu", "tanh", "elu", "silu", "abs", "sine"])
    config = {"trainer.max_epochs": 3}
    run = search(own, space, trials=8, fidelity=fidelity, pruner="asha", config=config)
    baseline, *others = run.trials
    assert sorted(baseline.intermediate_values) == steps
    whole = {"epochs": 3, "data": 5, "both": 5}[fidelity]
    assert len(result_of(baseline).history) == whole
    states = {t.state.name for t in others}
    assert "PRUNED" in states
    for trial in others:
        assert sorted(trial.intermediate_values) == steps[: len(trial.intermediate_values)]
        if trial.state.name == "PRUNED":
            assert result_of(trial).reason == "pruned"
            assert len(result_of(trial).history) < whole


def test_a_smaller_training_is_one_on_fewer_batches(own):
    config = {"trainer.max_epochs": 2}
    run = search(own, {"relu": None}, trials=1, fidelity="data", pruner="none", config=config)
    losses = [metrics["val_loss"] for _, metrics in result_of(run.trials[0]).history]
    assert len(set(losses)) == len(losses) == 4


def test_an_epoch_of_too_few_batches_is_refused(own):
    with pytest.raises(InvalidValueError, match="at least 9 batches in an epoch, but got 4"):
        search(own, {"relu": None}, "own.Own", trials=1, fidelity="data")


def watched(own, **standard):
    config = study_config(
        "own.Own", SearchSpace(activations={"relu": None}), config={"trainer.max_epochs": 3}
    )
    return run_job(
        config.job(None, baseline=LossCurve(**{"losses": [1.0], **standard})),
        lambda *_: False,
    )


def test_a_training_is_watched_in_its_first_steps(own):
    assert watched(own).state == "complete"
    found = watched(own).first_steps
    assert len(found.losses) == 1
    same = watched(own, gradient=found.gradient)
    assert same.state == "complete"
    for times, word in ((1e9, "vanishes"), (1e-9, "explodes")):
        stopped = watched(own, gradient=found.gradient * times)
        assert stopped.state == "pruned"
        assert stopped.reason.startswith(f"stopped: gradient: it {word}")
        assert stopped.history == stopped.first_steps.losses == []
    slow = watched(own, losses=[0.0, -1e3, -1e3])  # beside such a baseline everything is slow
    assert slow.reason.startswith("stopped: no better than chance: the loss is 0.")
    assert len(slow.first_steps.losses) == 3


def test_equal_functions_are_trained_once(own):
    space = SearchSpace(
        activations=dict.fromkeys(
            ["tanh", "negative(tanh(negative(x)))", "silu", "mul(x,sigmoid(x))"]
        )
    )
    with pytest.warns(
        ActsearchWarning, match="the search stops after 3 trials: the last 20 proposals"
    ):
        run_search(
            "own.Own",
            space,
            trials=8,
            granularity="model",
            store=own / "store",
            study="s",
            executor="inline",
            learning_rate="fixed",
            sampler="random",
            config={"trainer.max_epochs": 1},
            confirm=0,
        )
    run = StudyRun.load(Store(own / "store"), "s")
    reasons = [result_of(t).reason for t in run.trials[1:]]
    trained = [reason for reason in reasons if not reason]
    assert len(trained) == 2
    assert sum("the same functions as trial" in reason for reason in reasons) >= 20, "then it stops"
