"""What does not learn is stopped in its first steps, and nothing else."""

import pytest

from actsearch.errors import InvalidValueError
from actsearch.search.training.early_stopping import NoProgress


def reasons(baseline, losses):
    judge = NoProgress(baseline)
    return [judge.reason(loss) for loss in losses]


def test_a_loss_that_is_not_finite_stops_at_once():
    assert reasons([2.3, 2.0, 1.8, 1.6], [2.3, float("nan")]) == [
        "",
        "diverged: the loss is nan at step 1",
    ]


def test_a_loss_that_stays_where_the_baselines_falls_stops_at_the_end_of_the_window():
    baseline = [2.3, 2.2, 2.1, 2.0, 1.9, 1.8, 1.7, 1.6, 1.5, 1.4]
    *before, last = reasons(baseline, [2.31] * len(baseline))
    assert not any(before)
    assert last == (
        "no better than chance: the loss is 2.31 after 10 steps, where the baseline has fallen by"
        " 0.8"
    )


def test_a_slow_start_is_not_stopped():
    baseline = [2.3, 2.2, 2.1, 2.0, 1.9, 1.8, 1.7, 1.6, 1.5, 1.4]
    assert not any(reasons(baseline, [9.0, 5.0, 3.0, 2.4, 2.3, 2.2, 2.2, 2.1, 2.1, 2.1]))


def test_where_the_baseline_has_not_learned_either_nothing_is_said():
    assert not any(reasons([2.3, 2.3, 2.3, 2.3], [2.4, 2.4, 2.4, 2.4]))


def test_after_the_window_only_divergence_counts():
    *before, last = reasons([2.0, 1.0], [2.0, 1.0, 9.0, 9.0, float("inf")])
    assert not any(before)
    assert last


def test_a_baseline_of_nothing():
    with pytest.raises(InvalidValueError, match="baseline must be losses"):
        NoProgress([])
