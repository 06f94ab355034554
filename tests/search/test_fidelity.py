"""A pruner judges by epochs, by trainings on a share of the data, or by both; what learns nothing is stopped at once."""

from __future__ import annotations

import pytest

from actsearch.errors import InvalidValueError
from actsearch.run import run_search
from actsearch.search.space import SearchSpace
from actsearch.search.store import Store
from actsearch.search.study import StudyRun, outcome_of


def search(own, space, task="classification", **options):
    given = {"store": own / "store", "executor": "inline", "learning_rate": "fixed", "study": "s", "sampler": "random"}
    run_search(task, SearchSpace(activations=space), **{**given, **options})
    return StudyRun.load(Store(own / "store"), "s")


@pytest.mark.parametrize(("fidelity", "steps"), [("epochs", [0, 1, 2]), ("data", [1, 3]), ("both", [1, 3, 9, 10, 11])])
def test_what_the_pruner_sees(own, fidelity, steps):
    space = dict.fromkeys(["relu", "tanh", "elu", "silu", "abs", "sine"])
    config = {"trainer.max_epochs": 3}
    run = search(own, space, trials=8, fidelity=fidelity, pruner="asha", config=config)
    baseline, *others = run.trials
    assert sorted(baseline.intermediate_values) == steps
    whole = {"epochs": 3, "data": 5, "both": 5}[fidelity]
    assert len(outcome_of(baseline)["history"]) == whole
    states = {t.state.name for t in others}
    assert "PRUNED" in states
    for trial in others:
        assert sorted(trial.intermediate_values) == steps[: len(trial.intermediate_values)]
        if trial.state.name == "PRUNED":
            assert outcome_of(trial)["reason"] == "pruned"
            assert len(outcome_of(trial)["history"]) < whole


def test_a_smaller_training_is_one_on_fewer_batches(own):
    config = {"trainer.max_epochs": 2}
    run = search(own, {"relu": None}, trials=1, fidelity="data", pruner="none", config=config)
    losses = [metrics["val_loss"] for _, metrics in outcome_of(run.trials[0])["history"]]
    assert len(set(losses)) == len(losses) == 4


def test_an_epoch_of_too_few_batches_is_refused(own):
    with pytest.raises(InvalidValueError, match="at least 9 batches in an epoch, but got 4"):
        search(own, {"relu": None}, "own.Own", trials=1, fidelity="data")


def test_a_gradient_that_vanishes_or_a_loss_that_stays_costs_no_training(own):
    space = {"relu": None, "mul(1e-5,x)": None, "exp(cube(x))": None}
    run = search(own, space, "own.Own", trials=12, config={"trainer.max_epochs": 30}, pruner="none")
    assert len(outcome_of(run.trials[0])["first_steps"]["losses"]) == 5
    small = next(t for t in run.trials if set(t.params.values()) == {"mul(1e-5,x)"})
    assert outcome_of(small)["reason"].startswith("stopped: ")
    stopped = [t for t in run.trials if outcome_of(t)["reason"].startswith("stopped: ")]
    assert all(t.state.name == "PRUNED" and len(t.intermediate_values) <= 1 for t in stopped)  # 4 batches an epoch
    assert run.trials[0].state.name == "COMPLETE"


def test_equal_functions_are_trained_once(own):
    space = SearchSpace(activations=dict.fromkeys(["tanh", "negative(tanh(negative(x)))", "silu", "mul(x,sigmoid(x))"]))
    run_search(
        "own.Own", space, trials=8, granularity="model", store=own / "store", study="s", executor="inline",
        learning_rate="fixed", sampler="random", config={"trainer.max_epochs": 1},
    )  # fmt: skip
    run = StudyRun.load(Store(own / "store"), "s")
    reasons = [outcome_of(t)["reason"] for t in run.trials[1:]]
    trained = [reason for reason in reasons if not reason]
    assert len(trained) == 2
    assert any("duplicate: the same functions as trial" in reason for reason in reasons)
