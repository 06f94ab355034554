"""What a configuration is worth."""

import numpy as np
import pytest

from actsearch.search.samplers.function_space.acquisition import (
    ScalarisedImprovement,
    log_improvement,
)


def test_log_improvement_is_finite_and_orders_hopeless_candidates():
    found = log_improvement(np.array([-100.0, -50.0, 0.0, 1.0]), np.full(4, 0.1), 0.0)
    assert np.isfinite(found).all()
    assert (np.diff(found) > 0).all()


@pytest.mark.parametrize("weights", [[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]])
def test_what_is_better_in_everything_is_worth_more_whatever_the_weights(weights):
    found = ScalarisedImprovement((), np.array(weights), np.zeros((1, 2)), 0.05).scalarised(
        np.array([[1, 0.5], [0.9, 0.4], [-1, -1]])
    )
    assert found[0] > found[1] > found[2]


def test_the_weights_decide_between_configurations_of_a_front():
    front = np.array([[1.0, -1.0], [-1.0, 1.0]])
    first, second = (
        ScalarisedImprovement((), np.array(weights), np.zeros((1, 2)), 0.05).scalarised(front)
        for weights in ([0.3, 0.7], [0.7, 0.3])
    )
    assert (first[0] - first[1]) * (second[0] - second[1]) < 0
