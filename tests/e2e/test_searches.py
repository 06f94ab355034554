"""Searches: refusals and twins cost no training, several jobs keep the books straight."""

from __future__ import annotations

import pytest

from actsearch.errors import ActsearchWarning
from actsearch.placement import Placement
from actsearch.run import run_search
from actsearch.search.space.search_space import SearchSpace
from actsearch.search.study.placement_file import placement_file
from actsearch.search.study.record import StudyRun, counts, result_of
from actsearch.search.study.store import Store
from actsearch.tracking.ending import ending


def search(own, activations, **options):
    space = SearchSpace(activations=activations, granularity="model")
    given = {
        "store": own / "store",
        "config": {"trainer.max_epochs": 1},
        "executor": "inline",
        "sampler": "random",
        "confirm": 0,
    }
    result = run_search("own.Own", space, study="s", **{**given, **options})
    return StudyRun.load(Store(own / "store"), result.study)


def test_gate_refuses_before_training(own):
    with pytest.warns(ActsearchWarning, match="the search stops after 4 trials"):
        run = search(own, {"relu": None, "log(x)": None, "mul(0,x)": None}, trials=10)
    refused = [t for t in run.trials if t.params["model"] != "relu"]
    assert not any(map(counts, refused))
    assert refused
    for trial in refused:
        assert trial.state.name == "PRUNED"
        assert result_of(trial).reason.startswith("refused: ")
        assert result_of(trial).seconds == 0.0
        assert trial.intermediate_values == {}


def test_twins_are_told_what_the_first_one_got_and_do_not_count(own):
    with pytest.warns(
        ActsearchWarning,
        match="the search stops after 2 trials: the last 20 proposals had all been tried",
    ):
        run = search(own, {"relu": None, "tanh": None}, trials=6)
    values = {}
    for trial in run.trials:
        values.setdefault(trial.params["model"], set()).add(tuple(trial.values))
    assert all(len(different) == 1 for different in values.values())
    assert sum(map(counts, run.trials)) == 2
    assert sum("not trained again" in result_of(t).reason for t in run.trials) >= 20
    assert run.candidates(5) == [next(t for t in run.trials if t.params["model"] == "tanh")]
    assert [t for t in run.ranked() if not counts(t)] == []


def test_mirror_images_count_as_the_same_function(own):
    names = [
        "tanh",
        "softplus",
        "negative(softplus(x))",
        "softplus(negative(x))",
        "negative(softplus(negative(x)))",
    ]
    with pytest.warns(ActsearchWarning, match="the search stops after 3 trials"):
        run = search(own, dict.fromkeys(names), trials=8)
    trained = {t.params["model"] for t in run.trials if counts(t) and t.params}
    assert len(trained) == 2
    assert "tanh" in trained


def test_two_jobs(own):
    run = search(
        own,
        {"relu": None, "tanh": None, "elu": {"alpha": {"low": 0.5, "high": 2.0}}},
        trials=6,
        jobs=2,
        executor="local",
    )
    assert [t.number for t in run.trials] == list(range(len(run.trials)))
    assert sum(map(counts, run.trials)) in (6, 7), "two that run at a time may end together"
    assert all(t.state.is_finished() for t in run.trials)


def test_time_budget_leaves_room_for_the_confirmation(own):
    config = {"trainer.max_epochs": 2, "task.pause": 0.05}
    run = search(
        own,
        {"relu": None, "elu": {"alpha": {"low": 0.5, "high": 2.0}}},
        trials=500,
        time=15,
        confirm=1,
        seeds=2,
        config=config,
        learning_rate="fixed",
    )
    assert 2 <= len(run.trials) < 100
    assert (run.folder / "confirmation.json").exists()


def test_a_confirmed_file_is_replaced_only_by_a_confirmed_one(own):
    activations = {"relu": None, "tanh": None, "elu": {"alpha": {"low": 0.5, "high": 2.0}}}
    run = search(own, activations, trials=3, confirm=1, seeds=2)
    before = placement_file(run).read_text()
    assert Placement.load(placement_file(run)).found["significant"] in (True, False)
    again = search(own, activations, trials=6, confirm=0)
    assert sum(map(counts, again.trials)) == 6
    assert placement_file(again).read_text() == before


def test_without_a_confirmation_there_is_a_candidate_which_says_so(own):
    run = search(own, {"relu": None, "tanh": None, "elu": None}, trials=3)
    assert placement_file(run).name == "candidate.json"
    assert Placement.load(placement_file(run)).found["significant"] is None
    assert "Nothing is confirmed" in ending(run)
