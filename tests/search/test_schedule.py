"""What each trial is for: the baseline's learning rate first, the stages in turn, an earlier study's best in between."""

from __future__ import annotations

import math

import pytest

from actsearch.run import run_search
from actsearch.search.coordinator import Listener
from actsearch.search.schedule import next_factor
from actsearch.search.space import SearchSpace
from actsearch.search.store import Store
from actsearch.search.study import StudyRun

SPACE = SearchSpace(activations={"relu": None, "tanh": None, "elu": None, "silu": None})
CONFIG = {"trainer.max_epochs": 1}


def search(own, trials, space=SPACE, study="s", **options):
    given = {"store": own / "store", "config": CONFIG, "executor": "inline", "pruner": "none"}
    run_search("own.Own", space, study=study, trials=trials, **{**given, **options})
    return StudyRun.load(Store(own / "store"), study)


class StopAfter(Listener):
    """Stands for a person who presses Ctrl-C."""

    def __init__(self, number):
        self.number = number

    def trial_ended(self, trial):
        if trial.number == self.number:
            raise KeyboardInterrupt


def stages(run):
    return [trial.user_attrs["stage"] for trial in run.trials]


def test_the_next_learning_rate_is_a_step_from_the_best_then_half_a_step():
    tried = {}
    for loss in (0.5, 0.4, 0.6, 0.45, 0.41):
        tried[next_factor(tried)] = loss
    assert list(tried) == pytest.approx([1, 3, 9, 3 * math.sqrt(3), math.sqrt(3)])
    assert next_factor({1.0: 0.5, 3.0: math.inf}) == pytest.approx(1 / 3)


def test_the_baseline_is_tuned_first_and_all_others_train_at_its_rate(own):
    run = search(own, 20)
    assert stages(run) == ["baseline"] * 3 + ["search"] * 17
    tuned = [run.factor(t) for t in run.trials[:3]]
    assert len(set(tuned)) == 3
    assert tuned[0] == 1.0
    assert run.baseline in run.trials[:3] or run.factor(run.baseline) == run.factor(
        min(run.trials[:3], key=lambda t: t.values[0])
    )
    best = min(run.trials[:3], key=lambda t: t.values[0])
    assert {run.factor(t) for t in run.trials[3:]} == {run.factor(best)}
    assert len({t.values[0] for t in run.trials[:3]}) == 3  # the factor reaches the optimiser
    assert all(not run.is_baseline(t) for t in run.candidates(5))


def test_a_fixed_rate_leaves_it_alone_and_a_searched_one_is_a_parameter(own):
    fixed = search(own, 12, study="fixed", learning_rate="fixed")
    assert {fixed.factor(t) for t in fixed.trials} == {1.0}
    searched = search(own, 12, study="searched", learning_rate="searched")
    assert searched.trials[0].params["learning_rate_factor"] == 1.0
    assert len({searched.factor(t) for t in searched.trials}) > 6
    assert all(searched.factor(t) == t.params["learning_rate_factor"] for t in searched.trials)


@pytest.mark.parametrize("sampler", ["function_space", "tpe"])
def test_stages_widen_from_the_model_to_its_layers(own, sampler):
    run = search(own, 13, granularity="staged", learning_rate="fixed", sampler=sampler)
    assert (
        stages(run) == ["baseline"] + ["model"] * 6 + ["layer"] * 6
    )  # this model's blocks are its layers or the whole
    for trial in run.trials[1:7]:
        assert len(set(trial.params.values())) == 1
    for trial in run.trials[7:]:
        best = min((t for t in run.trials[: trial.number]), key=lambda t: (t.values[0], t.number))
        assert sum(best.params[site] != trial.params[site] for site in trial.params) <= 1


def test_an_earlier_studys_best_come_after_the_baseline(own):
    earlier = search(own, 8, study="a")
    best = earlier.candidates(5)
    run = search(own, 20, study="b", warm_start="a")
    assert stages(run)[3 : 3 + len(best)] == ["warm_start"] * len(best)
    assert [t.params for t in run.trials[3 : 3 + len(best)]] == [t.params for t in best]


def test_a_study_goes_on_as_if_it_had_never_stopped(own):
    straight = search(own, 14, study="straight", granularity="staged")
    with pytest.raises(KeyboardInterrupt):
        search(own, 14, study="resumed", granularity="staged", listeners=[StopAfter(7)])
    resumed = search(own, 14, study="resumed", granularity="staged")
    assert [(t.params, t.values) for t in straight.trials] == [(t.params, t.values) for t in resumed.trials]


def test_a_space_without_the_models_own_activation_is_searched_as_well(own):
    run = search(own, 12, SearchSpace(activations={"tanh": None, "elu": None, "silu": None}), granularity="model")
    assert all(t.params == {} for t in run.trials[:2])
    assert all(set(t.params) == {"model"} for t in run.trials[2:])
    assert {t.params["model"] for t in run.trials[2:5]} == {"tanh", "elu", "silu"}
