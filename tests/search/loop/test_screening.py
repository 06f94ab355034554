"""What is refused, and what comes to the same as an earlier trial, is told without a training."""

from __future__ import annotations

import json

import pytest
from optuna.trial import TrialState

from actsearch.placement import Placement
from actsearch.placement.placement import SiteEntry
from actsearch.search.loop.screening import Screening
from actsearch.search.study.config import LEARNING_RATE
from actsearch.search.study.record import PHASE, RESULT
from actsearch.search.training.job import Result

NAMES = ["relu", "tanh", "softplus", "negative(softplus(x))", "softplus(negative(x))", "log(x)"]


def placed(activation):
    return Placement(sites={"site": SiteEntry(activation=activation)})


def begun(run, activation, factor=1.0):
    """Return a trial that has chosen an activation; ``None`` for the model's own."""
    trial = run.study.ask()
    data = None if activation is None else json.loads(placed(activation).dumps())
    trial.set_user_attr("placement", data)
    trial.set_user_attr(PHASE, "baseline" if activation is None else "search")
    trial.set_user_attr(LEARNING_RATE, factor)
    return trial


def end(run, trial, state="complete", value=0.25, reason=""):
    """Tell how a trial ended."""
    result = Result(state, reason, metrics={"val_loss": value}, history=[(0, {"val_loss": value})])
    trial.set_user_attr(RESULT, result.record())
    told = {"complete": None, "failed": TrialState.FAIL, "pruned": TrialState.PRUNED}[state]
    run.study.tell(trial, value if told is None else None, state=told)


@pytest.fixture
def run(study):
    """A study whose baseline has ended at a loss of 1."""
    opened = study(dict.fromkeys(NAMES))
    end(opened, begun(opened, None), value=1.0)
    return opened


def known(run, activation, factor=1.0):
    """Return what is known of the next trial, of this activation."""
    number = begun(run, activation, factor).number
    return Screening(run).known(number, placed(activation))


def test_of_the_models_own_activations_nothing_is_known(run):
    assert Screening(run).known(0, None) is None


def test_what_is_not_finite_is_refused(run):
    result = known(run, "log(x)")
    assert (result.state, result.spared) == ("pruned", True)
    assert result.reason.startswith("refused: log(x) at site: ")


def test_what_is_new_is_trained(run):
    end(run, begun(run, "softplus"))
    assert known(run, "tanh") is None


def test_the_models_own_activation_comes_to_what_the_baseline_did(run):
    result = known(run, "relu")
    assert result.metrics == {"val_loss": 1.0}
    assert result.reason == "the same functions as trial 0, not trained again"


@pytest.mark.parametrize("twin", ["softplus", "negative(softplus(x))", "softplus(negative(x))"])
def test_a_twin_and_a_mirror_image_come_to_what_the_first_did(run, twin):
    end(run, begun(run, "softplus"))
    result = known(run, twin)
    assert (result.state, result.metrics, result.spared) == ("complete", {"val_loss": 0.25}, True)
    assert result.history == [(0, {"val_loss": 0.25})]


def test_where_a_site_requires_a_property_a_mirror_image_is_another(study):
    run = study(dict.fromkeys(NAMES[:3]), requires="cost <= 1000")
    end(run, begun(run, None), value=1.0)
    end(run, begun(run, "softplus"))
    assert known(run, "negative(softplus(x))") is None
    assert known(run, "softplus").metrics == {"val_loss": 0.25}


def test_a_twin_of_one_that_was_pruned_is_pruned_for_its_reason(run):
    end(run, begun(run, "tanh"), "pruned", reason="stopped: no better than chance")
    result = known(run, "tanh")
    assert result.state == "pruned"
    assert result.reason == "the same functions as trial 1: stopped: no better than chance"


def test_a_twin_of_one_that_failed_is_trained(run):
    end(run, begun(run, "tanh"), "failed")
    assert known(run, "tanh") is None


def test_a_twin_of_one_that_still_runs_is_trained(run):
    begun(run, "tanh")
    assert known(run, "tanh") is None


def test_at_another_learning_rate_a_placement_is_another(run):
    end(run, begun(run, "tanh"))
    assert known(run, "tanh", factor=3.0) is None
    assert known(run, "tanh", factor=1.0) is not None
