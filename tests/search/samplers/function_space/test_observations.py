"""What finished trials are taken to say."""

import numpy as np
import pytest
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from actsearch.search.samplers.function_space.observations import (
    best_and_random,
    normal_scores,
    observe,
    ranks,
)

UP, DOWN = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE


def trial(value=None, state=TrialState.COMPLETE, intermediate=None, **constraints):
    made = create_trial(
        params={"x": 0.5},
        distributions={"x": FloatDistribution(0, 1)},
        values=None if value is None else list(np.atleast_1d(value)),
        state=state,
        intermediate_values=intermediate or {},
        constraints=constraints or None,
    )
    return made


def scores(trials, direction=UP):
    return observe(trials, (direction,)).scores[:, 0]


def test_the_direction_is_turned():
    assert scores([trial(1.0), trial(3.0)]).tolist() == [1.0, 3.0]
    assert scores([trial(1.0), trial(3.0)], DOWN).tolist() == [-1.0, -3.0]


def test_a_pruned_trial_counts_as_what_its_peers_came_to_but_never_above_their_median():
    done = [trial(float(v), intermediate={1: v / 10}) for v in range(5)]
    low = trial(state=TrialState.PRUNED, intermediate={1: 0.05})
    high = trial(state=TrialState.PRUNED, intermediate={1: 99.0})
    silent = trial(state=TrialState.PRUNED)
    found = observe([*done, low, high, silent], (UP,))
    assert 0.0 <= found.scores[5, 0] < 2.0
    assert found.scores[6, 0] == 2.0
    assert found.scores[7, 0] == 0.0
    assert (found.observation_noise[5:] > 0).all()
    assert (found.observation_noise[:5] == 0).all()


def test_where_all_were_pruned_their_last_values_are_compared():
    found = scores([trial(state=TrialState.PRUNED, intermediate={1: v}) for v in (0.1, 0.3)], DOWN)
    assert found[0] > found[1]


def test_a_failed_trial_is_as_low_as_the_lowest():
    values = scores([trial(1.0), trial(2.0), trial(3.0), trial(state=TrialState.FAIL)])
    scaled = normal_scores(values)
    assert scaled[3] == scaled.min() <= -2.0
    assert np.isfinite(scaled).all()
    assert scaled[:3].mean() == pytest.approx(0.0, abs=1e-9)


def test_infeasible_is_worse_than_feasible_and_worse_with_violation():
    found = scores(
        [trial(9.0, size=2.0), trial(8.0, size=1.0), trial(1.0, size=-1.0), trial(2.0, size=0.0)]
    )
    assert found[0] < found[1] < found[2] < found[3]


def test_infinite_values_count_as_the_best_and_worst_finite_ones():
    assert scores([trial(1.0), trial(2.0), trial(float("inf")), trial(float("-inf"))]).tolist() == [
        1.0,
        2.0,
        2.0,
        1.0,
    ]


def test_each_objective_has_its_own_scores():
    trials = [
        trial([1.0, 5.0]),
        trial([2.0, 4.0]),
        trial([3.0, 9.0], size=1.0),
        trial(state=TrialState.FAIL),
    ]
    found = observe(trials, (UP, DOWN)).scores
    assert found[:2].tolist() == [[1.0, -5.0], [2.0, -4.0]]
    assert (found[2] < found[:2].min(0)).all()
    assert (found[3] == -np.inf).all()


def test_equal_values_share_a_rank():
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [0.75, 0.125, 0.75, 0.375]


def test_one_disaster_does_not_drown_the_others():
    scaled = normal_scores(np.array([-1e9, 0.0, 1.0, 2.0, 3.0]))
    assert scaled[4] - scaled[1] > 0.5


def test_of_many_the_best_half_counts_and_random_others():
    scores = np.random.default_rng(0).permutation(100).astype(float)
    kept = best_and_random(scores, 40, np.random.default_rng(1))
    assert len(kept) == len(set(kept)) == 40
    assert (np.diff(kept) > 0).all(), "in order"
    assert set(range(80, 100)) <= set(scores[kept])
    assert set(scores[kept]) != set(scores[best_and_random(scores, 40, np.random.default_rng(2))])
    assert best_and_random(scores, 100, np.random.default_rng(1)).tolist() == list(range(100))
