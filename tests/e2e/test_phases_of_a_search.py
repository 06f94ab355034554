"""What each trial is for.

The baseline's learning rate first, the stages in turn, an earlier study's best in between.
"""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from actsearch.run import run_search
from actsearch.search.loop.listener import Listener
from actsearch.search.space.search_space import SearchSpace
from actsearch.search.study.record import StudyRun, counts, phase_of, result_of
from actsearch.search.study.store import Store
from actsearch.search.training.train import run_job
from actsearch.tracking.mirror import tracking_uri

pytestmark = pytest.mark.filterwarnings("ignore:the search stops:actsearch.errors.ActsearchWarning")

SPACE = SearchSpace(activations={"relu": None, "tanh": None, "elu": None, "silu": None})
CONFIG = {"trainer.max_epochs": 1}


def search(folder, trials, space=SPACE, study="s", **options):
    given = {
        "store": folder / "store",
        "config": CONFIG,
        "executor": "inline",
        "pruner": "none",
        "confirm": 0,
    }
    run_search("own.Own", space, study=study, trials=trials, **{**given, **options})
    return StudyRun.load(Store(folder / "store"), study)


class StopAfter(Listener):
    """Stands for a person who presses Ctrl-C."""

    def __init__(self, number):
        self.number = number

    def trial_ended(self, trial):
        if trial.number == self.number:
            raise KeyboardInterrupt


class StopIn(Listener):
    """Ends the search while a trial begins."""

    def __init__(self, number):
        self.number = number

    def trial_started(self, number, placement):
        if number == self.number:
            raise KeyboardInterrupt


CONFIRMED = {"confirm": 2, "seeds": 2}


@pytest.fixture(scope="module")
def once(made_once):
    """The folder of a search with all that one can have, for several tests to read."""
    return made_once(lambda: search(Path(), 14, study="whole", **CONFIRMED))


@pytest.fixture(scope="module")
def whole(once):
    """The study of that search."""
    return StudyRun.load(Store(once / "store"), "whole")


def stages(run):
    return [trial.user_attrs["stage"] for trial in run.trials]


def ladder(run):
    return [
        (t.user_attrs["stage"], run.factor(t))
        for t in run.trials
        if t.user_attrs["stage"] != "finalist"
    ]


def test_the_ladder_the_rate_of_the_baseline_then_famous_ones_at_it_then_the_search(whole):
    run = whole
    names = stages(run)
    tuned = names.count("baseline")
    assert names[:tuned] == ["baseline"] * tuned
    assert 3 <= tuned <= 6
    assert run.factor(run.trials[0]) == 1.0
    rates = {run.factor(t): t.values[0] for t in run.trials[:tuned]}
    assert len(set(rates.values())) == tuned, "the factor reaches the optimiser"
    best = min(rates, key=rates.get)
    assert best in (min(rates), max(rates)) or min(rates) < best < max(rates)
    assert {factor for stage, factor in ladder(run)[tuned:]} == {best}
    famous = [t for t in run.trials if t.user_attrs["stage"] == "famous"]
    assert [t.params["net.1"] for t in famous] == ["silu", "tanh", "elu"]
    assert all(
        t.params["net.1"] == t.params["net.3"] and t.state.name == "COMPLETE" for t in famous
    )
    assert all(not run.is_baseline(t) for t in run.candidates(5))


def test_a_trial_is_the_mean_of_four_seeds_where_these_train_as_one(own, whole):
    run = whole
    job = run.job(None, learning_rate_factor=run.factor(run.trials[1]))
    one = run_job(job, lambda *_: False).metrics["val_loss"]
    four = run_job(replace(job, repeats=4), lambda *_: False).metrics["val_loss"]
    assert run.trials[1].values[0] == pytest.approx(four, rel=1e-6) != one
    searched = next(t for t in run.trials if phase_of(t) == "famous")
    assert len(result_of(searched).curves["val_loss"]) == 4
    client = MlflowClient(tracking_uri(run.store))
    experiments = [one.experiment_id for one in client.search_experiments()]
    tags = "tags.`actsearch.study` = 'whole' and tags.`actsearch.trial` = '1'"
    (mirrored,) = client.search_runs(experiments, tags)
    metrics = mirrored.data.metrics
    each = [metrics[f"val_loss.seed_{seed}"] for seed in range(4)]
    assert statistics.fmean(each) == pytest.approx(metrics["val_loss"])
    assert metrics["val_loss.std"] == pytest.approx(statistics.stdev(each))


def test_a_small_search_has_no_ladder(own):
    assert stages(search(own, 5)) == ["baseline", *["search"] * 4]


def test_finalists_get_a_rate_of_their_own_and_the_best_famous_is_one(own, once, whole):
    run = whole
    base = run.factor(run.baseline)
    further = [t for t in run.trials if t.user_attrs["stage"] == "finalist"]
    assert further
    assert not any(map(counts, further))
    for trial in further:
        same = [t for t in run.trials if run.choices(t) == run.choices(trial)]
        assert {run.factor(t) for t in same} >= {base, run.factor(trial)}
    famous = [run.choices(t) for t in run.trials if t.user_attrs["stage"] == "famous"]
    assert any(run.choices(t) in famous for t in run.candidates(2))
    again = search(once, 14, study="whole", **CONFIRMED)
    assert len(again.trials) == len(run.trials), "nothing is left to do"


@pytest.mark.long
def test_a_fixed_rate_leaves_it_alone_and_a_searched_one_is_a_parameter(own):
    fixed = search(own, 12, study="fixed", learning_rate="fixed")
    assert {fixed.factor(t) for t in fixed.trials} == {1.0}
    searched = search(own, 12, study="searched", learning_rate="searched")
    assert searched.trials[0].params["learning_rate_factor"] == 1.0
    assert len({searched.factor(t) for t in searched.trials}) > 6
    assert all(searched.factor(t) == t.params["learning_rate_factor"] for t in searched.trials)


@pytest.mark.parametrize("sampler", ["function_space", pytest.param("tpe", marks=pytest.mark.long)])
def test_stages_widen_from_the_model_to_its_layers(own, sampler):
    run = search(own, 13, granularity="staged", learning_rate="fixed", sampler=sampler)
    asked = [t for t in run.trials if t.user_attrs["stage"] in ("model", "layer")]
    trained = [t.user_attrs["stage"] for t in asked if counts(t)]
    assert trained == ["model"] * trained.count("model") + ["layer"] * trained.count("layer")
    assert {"model", "layer"} == {
        t.user_attrs["stage"] for t in asked
    }  # this model's blocks are its layers or the whole
    for trial in asked:
        if trial.user_attrs["stage"] == "model":
            assert len(set(trial.params.values())) == 1
            continue
        best = min((t for t in run.trials[: trial.number]), key=lambda t: (t.values[0], t.number))
        assert sum(best.params[site] != trial.params[site] for site in trial.params) <= 1


def test_an_earlier_studys_best_come_after_the_ladder(own, once, whole):
    best = whole.candidates(5)
    run = search(once, 16, study="b", warm_start="whole")
    warm = [t for t in run.trials if t.user_attrs["stage"] == "warm_start"]
    assert [t.params for t in warm] == [t.params for t in best]
    assert stages(run).index("warm_start") > stages(run).index("famous")


@pytest.mark.long  # test_kill.py has one that was killed, in every run
def test_a_study_goes_on_as_if_it_had_never_stopped(own):
    straight = search(own, 14, study="straight", granularity="staged")
    with pytest.raises(KeyboardInterrupt):
        search(own, 14, study="resumed", granularity="staged", listeners=[StopAfter(7)])
    resumed = search(own, 14, study="resumed", granularity="staged")
    assert [(t.params, t.values) for t in straight.trials] == [
        (t.params, t.values) for t in resumed.trials
    ]


@pytest.mark.long
def test_a_finalist_that_a_dead_process_was_training_is_taken_up(own, whole):
    first, *_ = [t.number for t in whole.trials if t.user_attrs["stage"] == "finalist"]
    with pytest.raises(KeyboardInterrupt):
        search(own, 14, study="resumed", listeners=[StopIn(first)], **CONFIRMED)
    assert StudyRun.load(Store(own / "store"), "resumed").trials[first].state.name == "WAITING"
    resumed = search(own, 14, study="resumed", **CONFIRMED)
    told = [
        (t.params, t.values, t.user_attrs["stage"], run.factor(t))
        for run in (whole, resumed)
        for t in run.trials
    ]
    assert told[: len(told) // 2] == told[len(told) // 2 :]


def test_a_space_without_the_models_own_activation_is_searched_as_well(own):
    run = search(
        own,
        12,
        SearchSpace(activations={"tanh": None, "elu": None, "silu": None}),
        granularity="model",
    )
    tuned = stages(run).count("baseline")
    assert all(t.params == {} for t in run.trials[:tuned])
    assert all(set(t.params) == {"model"} for t in run.trials[tuned:])
    assert [t.params["model"] for t in run.trials[tuned : tuned + 3]] == [
        "silu",
        "tanh",
        "elu",
    ], "the famous ones"
