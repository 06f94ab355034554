"""Measures of a training: when they are due, and which objectives are theirs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from actsearch.errors import ActsearchError, MeasureError, TaskError
from actsearch.measures import Fitted, Measure
from actsearch.search.training.given import give
from actsearch.search.training.job import Job
from actsearch.search.training.measuring import Measuring, require


class Late(Measure):
    """A number that only what is confirmed has."""

    name = "late"
    direction = "min"
    when = "confirm"

    def __call__(self, fitted: Fitted) -> float:
        return 3.0


def measuring(objectives=(), **measures):
    return Measuring(Job("own.Own", {}, list(objectives), measures=measures))


def unlogged(of, **metrics):
    return of.unlogged(metrics, nn.Linear(2, 1), None, torch.zeros(1, 2))


def values(of, when):
    return of.values(when, nn.Linear(2, 1), None, torch.zeros(1, 2))


def test_a_measure_is_taken_when_it_is_due():
    late = give(Late)
    both = measuring(**{"parameters": {}, late: {}})
    assert values(both, "end") == {"parameters": 3.0}
    assert values(both, "confirm") == {"late": 3.0}
    assert values(both, "epoch") == {}


def test_an_objective_that_is_logged_is_no_measures():
    of = measuring(["val_loss", "parameters"])
    assert unlogged(of, val_loss=1.0) == ["parameters"]
    assert unlogged(of, val_loss=1.0, parameters=5.0) == []


def test_an_objective_that_is_neither_is_told_with_what_is_logged():
    with pytest.raises(TaskError, match="metric 'speed' must be logged by Linear, but it logs val"):
        unlogged(measuring(["speed"]), val_loss=1.0)


def test_a_measure_that_the_module_cannot_have_is_refused():
    with pytest.raises(MeasureError, match="effective_rank must have"):
        unlogged(measuring(["effective_rank"]), val_loss=1.0)


def test_a_measure_of_what_is_confirmed_alone_is_no_objective():
    with pytest.raises(MeasureError, match="late must be cheap to be an objective or a bound"):
        unlogged(measuring(["late"], **{give(Late): {}}), val_loss=1.0)


def test_a_wrong_option_of_a_measure_is_told():
    with pytest.raises(ActsearchError, match="radus"):
        measuring(certified_accuracy={"radus": 1})


@pytest.mark.parametrize(
    ("name", "may"), [("parameters", True), ("gradient_flow/first", True), ("val_loss", False)]
)
def test_a_name_before_the_slash_is_a_measures(name, may):
    assert measuring().may_have(name) is may


def test_what_must_be_logged_is_named_where_nothing_is():
    require({"val_loss": 1.0}, ["val_loss"], "own.Own")
    with pytest.raises(TaskError, match=r"must be logged by own\.Own, but it logs nothing"):
        require({}, ["val_loss"], "own.Own")
