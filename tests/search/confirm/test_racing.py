"""The race keeps its promises.

Equals are rarely called better, a gain is found, the budget holds, losers cost little.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from actsearch.search.confirm.racing import compare, race

TRUE_GAIN = [1.0, 0.0, 0.0]
"""In standard deviations over seeds; the baseline has 0."""


class Arms:
    """Arms whose scores are a mean and noise, with some correlation by seed.

    Each (arm, seed) has one score.
    """

    def __init__(self, gains, rng, correlation=0.0, step=0.0):
        noise = math.sqrt(1 - correlation) * rng.normal(size=(len(gains) + 1, 120))
        self.scores = (
            noise + math.sqrt(correlation) * rng.normal(size=120) + np.array([0.0, *gains])[:, None]
        )
        if step:
            self.scores = np.round(self.scores / step) * step
        self.asked = []

    def __call__(self, cells):
        self.asked += cells
        return [float(self.scores[cell]) for cell in cells]


def search_among_equals(rng, candidates=30, top=3):
    """The best few of a search by one noisy value each, confirmed on new seeds.

    Which they are makes no difference.
    """
    search = rng.normal(size=candidates)
    best = np.argsort(-search)[:top]
    everyone = rng.normal(size=(candidates + 1, 120))
    chosen = everyone[[0, *(1 + best)]]
    return lambda cells: [float(chosen[cell]) for cell in cells]


def test_winners_among_identical_candidates_in_200_searches():
    rng = np.random.default_rng(0)
    false = sum(race(search_among_equals(rng), 3, 8).comparison.significant for _ in range(200))
    assert false <= 0.05 * 200, (
        f"{false} of 200 searches among identical candidates declared a winner"
    )


@pytest.mark.parametrize("seeds", [2, 8, 16])
def test_false_winners_stay_near_half_the_level(seeds):
    rng = np.random.default_rng([seeds, 1])
    searches = 1200
    false = sum(
        race(search_among_equals(rng), 3, seeds).comparison.significant for _ in range(searches)
    )
    bound = 0.025 * searches + 2.6 * math.sqrt(0.025 * 0.975 * searches)
    assert false <= bound, f"{false} of {searches} declared a winner where 2.5 % are expected"


def test_false_winners_of_rounded_scores():
    rng = np.random.default_rng(3)
    false = sum(
        race(Arms([0.0] * 3, rng, step=1.0), 3, 4).comparison.significant for _ in range(600)
    )
    assert false <= 0.05 * 600


def test_adding_seeds_again_and_again_stays_within_the_level():
    rng = np.random.default_rng(4)
    chains, false = 500, 0
    for _ in range(chains):
        arms = Arms([0.0] * 3, rng)
        false += any(
            race(arms, 3, seeds, look).comparison.significant
            for look, seeds in enumerate((8, 12, 16), 1)
        )
    assert false <= 0.05 * chains + 1.7 * math.sqrt(0.05 * 0.95 * chains)


def test_a_gain_of_one_standard_deviation_is_found_in_80_percent():
    rng = np.random.default_rng(5)
    races, found = 600, 0
    for _ in range(races):
        result = race(Arms(TRUE_GAIN, rng), 3, 16)
        found += result.comparison.significant and result.selected == 1
    assert found / races >= 0.80, f"found in {found / races:.3f}"


def test_shared_randomness_raises_the_power():
    rng = np.random.default_rng(6)
    found = [
        sum(
            race(Arms(TRUE_GAIN, rng, correlation), 3, 8).comparison.significant for _ in range(200)
        )
        for correlation in (0.0, 0.5)
    ]
    assert found[1] > found[0] + 40


@pytest.mark.parametrize("candidates", [1, 2, 3, 7])
@pytest.mark.parametrize("seeds", [2, 3, 8])
def test_budget_is_kept_and_nothing_is_trained_twice(candidates, seeds):
    rng = np.random.default_rng(7)
    for _ in range(20):
        arms = Arms([0.0] * candidates, rng)
        result = race(arms, candidates, seeds)
        assert len(set(arms.asked)) == len(arms.asked) <= (candidates + 1) * seeds
        assert result.comparison.pairs >= 2
        given = [sum(arm == number for arm, _ in arms.asked) for number in range(1, candidates + 1)]
        assert given == result.given


def test_the_comparison_never_uses_a_seed_that_selected():
    arms = Arms(TRUE_GAIN, np.random.default_rng(8))
    result = race(arms, 3, 8)
    compared = [seed for arm, seed in arms.asked if arm == 0]
    assert result.selection > 0
    assert compared == list(range(result.selection, result.selection + result.comparison.pairs))
    differences = arms.scores[result.selected, compared] - arms.scores[0, compared]
    reference = stats.ttest_1samp(differences, 0.0)
    assert result.comparison.p == pytest.approx(reference.pvalue)
    assert (result.comparison.low, result.comparison.high) == pytest.approx(
        tuple(reference.confidence_interval(0.95))
    )


def test_clearly_worse_candidates_are_dropped_and_their_trainings_go_to_the_leader():
    rng = np.random.default_rng(9)
    far = race(Arms([-8.0, 0.0, -8.0], rng), 3, 16)
    near = race(Arms([0.0, 0.0, 0.0], rng), 3, 16)
    assert (far.selected, far.given[0], far.given[2]) == (2, 4, 4)
    assert far.comparison.pairs > near.comparison.pairs


def test_a_leader_clearly_worse_than_the_baseline_ends_the_race():
    arms = Arms([-6.0, -6.0, -6.0], np.random.default_rng(10))
    result = race(arms, 3, 16)
    assert len(arms.asked) < 45
    assert not result.comparison.significant
    assert result.comparison.high < 0


def test_failed_trainings():
    good = Arms([0.0, 3.0], np.random.default_rng(11))

    def failing(cells):
        scores = zip(cells, good(cells), strict=True)
        return [math.nan if arm == 1 and seed % 2 else score for (arm, seed), score in scores]

    assert race(failing, 2, 8).selected == 2
    asked = []
    nothing = race(lambda cells: asked.extend(cells) or [math.nan] * len(cells), 2, 30)
    assert nothing.comparison.pairs == 0
    assert not nothing.comparison.significant
    assert len(asked) < 60, "a comparison in which all fails ends after its first block"


def test_comparison_is_the_paired_t_test():
    d = [0.3, -0.1, 0.4, 0.2, 0.25]
    c = compare([*d, math.nan])
    reference = stats.ttest_1samp(d, 0.0)
    low, high = reference.confidence_interval(0.95)
    assert (c.gain, c.low, c.high, c.p, c.pairs) == pytest.approx(
        (np.mean(d), low, high, reference.pvalue, 5)
    )


def test_a_stricter_level_scales_the_p_value_and_widens_the_interval():
    d = [0.3, -0.1, 0.4, 0.2, 0.25]
    first, second = compare(d), compare(d, 0.025)
    assert second.p == pytest.approx(2 * first.p)
    assert (second.low, second.high) == pytest.approx(
        tuple(stats.ttest_1samp(d, 0.0).confidence_interval(0.975))
    )


def test_equal_differences_fall_back_to_the_sign_test():
    assert compare([0.1] * 3).p == 0.25
    assert not compare([0.1] * 3).significant
    assert compare([0.1] * 8).significant
    assert compare([0.1] * 8).low == pytest.approx(0.1)
    assert not compare([-0.1] * 8).significant
    assert compare([0.0] * 8).p == 1.0
    assert compare([math.nan] * 2).pairs == 0


ROWS, PART = 1000, 200
"""Rows of a made-up data set, and of each of its test splits."""


def false_wins(noise, row_noise, splits, runs=400):
    """Return how often one of 15 candidates is declared a winner.

    All are as good as the baseline on this data. A candidate's score on a split is its mean over
    the rows there, each of which suits it more or less, and the noise of a training. The best three
    by one validation split race.
    """
    draws = np.random.default_rng(0)
    wins = 0
    for _ in range(runs):
        suits = draws.normal(0, row_noise, (15, ROWS))
        suits -= suits.mean(1, keepdims=True)
        order = draws.permutation(ROWS)
        searched = suits[:, order[:PART]].mean(1) + draws.normal(0, noise, 15)
        top = np.argsort(-searched)[:3]
        tests = {}

        def measure(cells, suits=suits, order=order, top=top, tests=tests):
            scores = []
            for arm, seed in cells:
                own = order[PART : 2 * PART]
                rows = tests.setdefault(seed, draws.permutation(ROWS)[:PART]) if splits else own
                score = suits[top[arm - 1], rows].mean() if arm else 0.0
                scores.append(score + draws.normal(0, noise))
            return scores

        wins += race(measure, 3, 8).comparison.significant
    return wins / runs


@pytest.mark.parametrize(
    ("noise", "row_noise"), [(0.003, 0.1), (0.007, 0.1), (0.007, 0.0), (0.015, 0.05)]
)
def test_false_wins_stay_below_five_percent_where_splits_vary(noise, row_noise):
    assert false_wins(noise, row_noise, splits=True) <= 0.05


def test_one_split_again_and_again_would_declare_many_false_wins():
    assert false_wins(0.003, 0.1, splits=False) > 0.2
