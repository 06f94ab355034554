"""Configurations as rows of numbers."""

import math

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from actsearch.search.samplers.function_space.encoding import Dimension, Encoding, shared
from actsearch.search.samplers.partial_fixed import allows


@pytest.mark.parametrize(
    ("distribution", "values"),
    [
        (FloatDistribution(-2, 3), [-2.0, 0.5, 3.0]),
        (FloatDistribution(1e-5, 1e-1, log=True), [1e-5, 1e-3, 1e-1]),
        (FloatDistribution(0, 1, step=0.25), [0.0, 0.25, 1.0]),
        (IntDistribution(1, 9), [1, 5, 9]),
        (IntDistribution(1, 100, log=True), [1, 10, 100]),
        (IntDistribution(2, 10, step=4), [2, 6, 10]),
        (CategoricalDistribution(["a", None, 3]), ["a", None, 3]),
    ],
)
def test_values_survive_encoding(distribution, values):
    dimension = Dimension("x", distribution)
    for value in values:
        decoded = dimension.decode(dimension.encode(value))
        assert decoded == pytest.approx(value) if isinstance(value, float) else decoded == value
    for number in dimension.draw(50, np.random.default_rng(0)):
        assert allows(distribution, dimension.decode(number))


def test_of_equal_choices_the_first_counts_and_nan_is_one():
    dimension = Dimension("x", CategoricalDistribution([1, True, math.nan, "relu"]))
    assert [dimension.encode(value) for value in (True, float("nan"), "relu")] == [0, 2, 3]
    held = [Encoding((), (dimension,)).holds({"x": v}) for v in (float("nan"), 1.0, "elu", [1])]
    assert held == [True, True, False, False]


def test_what_trials_share_is_what_all_that_ended_have():
    a, b = CategoricalDistribution(["relu", "elu"]), CategoricalDistribution(["relu", "tanh"])
    study, x = optuna.create_study(), FloatDistribution(0, 1)

    def after(state=TrialState.COMPLETE, **distributions):
        chosen = {n: "relu" if d in (a, b) else 0.5 for n, d in distributions.items()}
        value = 0.0 if state == TrialState.COMPLETE else None
        study.add_trial(
            create_trial(state=state, params=chosen, distributions=distributions, value=value)
        )
        return shared(study, study.get_trials(deepcopy=False))

    assert shared(study, []) == {}
    assert after(TrialState.FAIL, one=a) == {"one": a}, "where none ended, of those that failed"
    assert after(one=a, two=a, x=x) == {"one": a, "two": a, "x": x}
    assert after(one=a, two=b, x=x, y=x) == {"one": a, "x": x}
    assert after(TrialState.FAIL, y=x) == {"one": a, "x": x}
    assert after(TrialState.PRUNED, one=a) == {"one": a}
    assert shared(study, study.trials[:2]) == {"one": a, "two": a, "x": x}, "of fewer than before"
    assert after() == {"one": a}, "a trial without parameters does not count"
