"""The watchdog stops what does not learn, in its first steps, and nothing else."""

import pytest

from actsearch.errors import InvalidValueError
from actsearch.search.trainability.watchdog import Watchdog


def test_a_loss_that_is_not_finite_stops_at_once():
    watch = Watchdog([2.3, 2.0, 1.8, 1.6])
    assert watch.update(2.3).passed
    assert watch.update(float("nan")).reason == "diverged: the loss is nan at step 1"


def test_a_loss_that_stays_where_the_baselines_falls_stops_at_the_end_of_the_window():
    baseline = [2.3, 2.2, 2.1, 2.0, 1.9, 1.8, 1.7, 1.6, 1.5, 1.4]
    watch = Watchdog(baseline)
    verdicts = [watch.update(2.31) for _ in baseline]
    assert all(v.passed for v in verdicts[:-1])
    assert verdicts[-1].reason.startswith("no better than chance")


def test_a_slow_start_is_not_stopped():
    watch = Watchdog([2.3, 2.2, 2.1, 2.0, 1.9, 1.8, 1.7, 1.6, 1.5, 1.4])
    assert all(
        watch.update(loss).passed for loss in [9.0, 5.0, 3.0, 2.4, 2.3, 2.2, 2.2, 2.1, 2.1, 2.1]
    )


def test_where_the_baseline_has_not_learned_either_nothing_is_said():
    watch = Watchdog([2.3, 2.3, 2.3, 2.3])
    assert all(watch.update(loss).passed for loss in [2.4, 2.4, 2.4, 2.4])


def test_after_the_window_only_divergence_counts():
    watch = Watchdog([2.0, 1.0], chance=2.0)
    for loss in (2.0, 1.0, 9.0, 9.0):
        assert watch.update(loss).passed
    assert not watch.update(float("inf"))


def test_a_baseline_of_nothing():
    with pytest.raises(InvalidValueError, match="baseline must be losses"):
        Watchdog([])
