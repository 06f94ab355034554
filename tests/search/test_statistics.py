"""The paired comparison keeps its promise: the intervals cover together, and equals are rarely called better."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from actsearch.search.statistics import compare


def test_one_candidate_is_the_paired_t_interval():
    d = [0.3, -0.1, 0.4, 0.2, 0.25]
    (c,) = compare([d])
    reference = stats.ttest_1samp(d, 0.0)
    low, high = reference.confidence_interval(0.95)
    assert (c.gain, c.low, c.high, c.p) == pytest.approx((np.mean(d), low, high, reference.pvalue))


def test_holm_step_down():
    rng = np.random.default_rng(0)
    candidates = [rng.normal(shift, 1, 12) for shift in (0.0, 0.8, 1.5)]
    raw = [stats.ttest_1samp(d, 0).pvalue for d in candidates]
    order = np.argsort(raw)
    expected = np.maximum.accumulate([min(1, raw[i] * (3 - rank)) for rank, i in enumerate(order)])
    corrected = [compare(candidates)[i].p for i in order]
    assert corrected == pytest.approx(list(expected))


def test_equals_are_called_better_in_at_most_five_percent_and_intervals_hold_together():
    rng = np.random.default_rng(1)
    rounds, false, covered = 2000, 0, 0
    for _ in range(rounds):
        baseline = rng.normal(size=8)
        results = compare([rng.normal(size=8) - baseline for _ in range(3)])
        false += any(c.significant for c in results)
        covered += all(c.low <= 0 <= c.high for c in results)
    assert false / rounds <= 0.05, f"declared a winner among equals in {false / rounds:.3f}"
    assert covered / rounds >= 0.95 - 0.01, f"all intervals held in {covered / rounds:.3f}"


def test_failed_seeds_and_degenerate_differences():
    lost, constant, zero = compare([[math.nan, math.nan], [0.1, 0.1, 0.1], [0.0, 0.0, 0.0]])
    assert lost.pairs == 0
    assert not lost.significant
    assert constant.significant
    assert not zero.significant
    assert zero.p == 1.0
