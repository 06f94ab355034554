"""A race of candidates against a baseline: select on some paired seeds, compare on others."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

BASELINE = 0
"""The arm that every candidate is compared with; the candidates are arms 1, 2, ..."""

_SELECTION = 1 / 3
"""Share of the trainings that selects; the power is flat between a quarter and 0.4."""

_BLOCK = 4
"""Seeds that run before a look: so many select at least, where half of the trainings allow it."""

_DROP = 0.1
"""One-sided level at which a candidate leaves the selection; no error rate depends on it."""

_STOP = 0.001
"""Level at which the comparison stops early.

At 0.001, Haybittle and Peto's, looks leave the final level as it is.
"""

Verdict = Literal["better", "worse", "no difference found"]

Scores = Callable[[Sequence[tuple[int, int]]], Sequence[float]]
"""Trains each (arm, index of the seed), and returns scores.

Larger is better; NaN is for a training that failed.
"""


@dataclass(frozen=True)
class Comparison:
    """A candidate against the baseline over paired seeds.

    Differences are oriented so that positive is better.

    Args:
        gain: mean of the paired differences, NaN where there are none.
        low: lower end of the confidence interval of the gain.
        high: its upper end.
        p: two-sided p-value.
        pairs: seeds that both finished.
        significant: whether the candidate is better, and the test finds it at its level.
        rows: test rows whose differences count in the interval as well; 0 where it is of the seeds
            alone.
    """

    gain: float
    low: float
    high: float
    p: float
    pairs: int
    significant: bool
    rows: int = 0

    @property
    def verdict(self) -> Verdict:
        """What the test finds."""
        if self.significant:
            return "better"
        return "worse" if self.p < 0.05 and self.gain < 0 else "no difference found"


@dataclass(frozen=True)
class Race:
    """How a race went.

    Args:
        selected: the arm that was compared.
        selection: number of seeds that selected it; the seeds after these compared it.
        given: for each candidate, how many seeds it was trained with.
        pairs: number of seeds that compared it.
        level: of the comparison.
        comparison: the selected candidate against the baseline, on the seeds of the comparison
            alone.
    """

    selected: int
    selection: int
    given: list[int]
    pairs: int
    level: float
    comparison: Comparison


def race(
    measure: Scores, candidates: int, seeds: int, looks: int = 1, at_once: bool = False
) -> Race:
    r"""Select the best of several candidates on some seeds; compare it with the baseline on others.

    At most :math:`(m + 1) n` trainings for m candidates and n ``seeds``. A third of them selects:
    all candidates train on the same seeds, in blocks of four, after which those clearly worse than
    the leader are dropped. What is left, and what the dropped ones have saved, is spent on pairs of
    the leader and the baseline, in blocks; the race ends early where the leader is clearly worse
    than the baseline.

    No seed of the comparison has selected anything, so the paired t test needs no correction for
    the number of candidates, and no way to select or to drop can make a false winner. The test is
    two-sided: where no candidate is better, at most α/2 = 2.5 % of the races declare a winner, and
    at most 5 % of all chains of races that add seeds to what was measured, since each further look
    halves the level.

    Numerics: with three candidates of which one is better by one standard deviation over seeds,
    noise independent between the arms (an effect of 0.71 on the differences), 2,000 simulations
    find it in 85 % with n = 16, 80 % with n = 14 and 47 % with n = 8. With the same number of
    trainings, all candidates on all seeds and Bonferroni find it in 57 % with n = 16 and 23 % with
    n = 8 (80 % needs n = 24); dropping, then a Bonferroni test on all seeds of the survivor, in 79
    % and 39 %. Arms that share randomness by seed (correlation ρ) raise the effect to
    :math:`1/\sqrt{2(1-\rho)}`: n = 8 finds 77 % with ρ = 0.5.

    Args:
        measure: trains and scores.
        candidates: m, their number, at least 1.
        seeds: n, the trainings for each arm if all arms had the same number, at least 2.
        looks: how many verdicts there are with this one, at least 1.
        at_once: whether seeds beside each other cost little, so that all pairs are one block.

    References:
        A Note on Data-Splitting for the Evaluation of Significance Levels, D. R. Cox, 1975,
            https://doi.org/10.1093/biomet/62.2.441
        Hoeffding Races: Accelerating Model Selection Search for Classification and Function
            Approximation, O. Maron and A. W. Moore, 1994, https://proceedings.neurips.cc/paper/1993
        Repeated Assessment of Results in Clinical Trials of Cancer Treatment, J. L. Haybittle,
        1971,
            https://doi.org/10.1259/0007-1285-44-526-793
        Multiple Comparisons Among Means, O. J. Dunn, 1961,
        https://doi.org/10.1080/01621459.1961.10482090
            (Bonferroni, over the looks)

    >>> score = lambda arm, seed: 0.1 * (arm == 2) + 0.01 * ((7 * arm + 3 * seed) % 5)
    >>> scores = lambda cells: [score(arm, seed) for arm, seed in cells]
    >>> result = race(scores, candidates=3, seeds=8)
    >>> result.selected, result.given, result.comparison.significant
    (2, [4, 14, 4], True)
    """
    budget = (candidates + 1) * seeds
    alive = list(range(1, candidates + 1))
    least = min(_BLOCK, budget // (2 * candidates))
    rounds = max(1, least, int(_SELECTION * budget / candidates))
    scores: dict[int, list[float]] = {arm: [] for arm in alive}
    selection = 0
    while len(alive) > 1 and selection < rounds:
        seeds_now = range(selection, min(selection + _BLOCK, rounds))
        cells = [(arm, seed) for seed in seeds_now for arm in alive]
        for (arm, _), score in zip(cells, measure(cells), strict=True):
            scores[arm].append(score)
        selection = seeds_now.stop
        alive = _survivors({arm: scores[arm] for arm in alive})
    selected = _leader({arm: scores[arm] for arm in alive})
    given = [len(scores[arm]) for arm in scores]

    differences: list[float] = []
    pairs = (budget - sum(given)) // 2
    size = pairs if at_once else _BLOCK
    while len(differences) < pairs and not (differences and _is_hopeless(differences)):
        block = range(selection + len(differences), selection + min(len(differences) + size, pairs))
        results = measure([(arm, seed) for seed in block for arm in (BASELINE, selected)])
        differences += [b - a for a, b in zip(results[::2], results[1::2], strict=True)]
    given[selected - 1] += len(differences)
    level = 0.05 / 2 ** (looks - 1)
    return Race(selected, selection, given, len(differences), level, compare(differences, level))


def _leader(scores: dict[int, list[float]]) -> int:
    """Return the arm with the fewest failed trainings and, among these, the largest mean.

    The first of equals.
    """

    def merit(arm: int) -> tuple[int, float, int]:
        finite = [score for score in scores[arm] if math.isfinite(score)]
        return len(finite), sum(finite) / max(1, len(finite)), -arm

    return max(scores, key=merit)


def _survivors(scores: dict[int, list[float]]) -> list[int]:
    """Return the arms that are not clearly worse than the leader, in their order.

    The noise is pooled over all arms that run (seeds as blocks): with two seeds a single pair could
        not tell it.
    """
    leader = _leader(scores)
    table = np.array(list(scores.values()))
    shared = table[:, np.isfinite(table).all(axis=0)]
    arms, seeds = shared.shape
    if seeds < 2:
        return list(scores)
    means = shared.mean(axis=1)
    residual = shared - means[:, None] - shared.mean(axis=0) + shared.mean()
    freedom = (arms - 1) * (seeds - 1)
    error = math.sqrt(float((residual**2).sum()) / freedom * 2 / seeds)
    behind = float(stats.t.ppf(1 - _DROP, freedom)) * error
    best = means[list(scores).index(leader)]
    return [
        arm
        for arm, mean in zip(scores, means, strict=True)
        if arm == leader or best - mean <= behind
    ]


def _is_hopeless(differences: Sequence[float]) -> bool:
    """Whether no pair has ended well, or the candidate is clearly worse than the baseline."""
    result = compare(differences)
    return result.pairs == 0 or (result.gain < 0 and result.p < _STOP)


def compare(
    differences: Sequence[float], level: float = 0.05, rows: ArrayLike | None = None
) -> Comparison:
    r"""Compare a candidate with the baseline.

    .. math::
        \bar d \pm t_{\nu, 1-\alpha/2} \, s, \quad s^2 = \frac{s_d^2}{n} + \frac{s_r^2}{m}, \quad
              \nu = s^4 \Big/ \left(\frac{(s_d^2/n)^2}{n - 1} + \frac{(s_r^2/m)^2}{m - 1}\right)

    with n pairs, and the second term only where the differences of m test rows, averaged over the
    pairs, are given: then the interval is of other rows from where these came, and not of these
    alone. Seeds and rows are crossed, so the sum counts what is left of both twice, once too often.

    Where each pair has a split of its own, the interval is of other splits of the same data. Pairs
    share rows, so of other data it says less: in simulations of 15 candidates that are equal on all
    data, of which the best on one split is compared on ten splits, 2 to 5 % are called better on
    the same data, and up to 16 % on other data where rows make half of the noise; on one split all
    ten times, 14 to 47 %.

    Numerics: where all differences are the same number, which rounded metrics produce, their spread
    says nothing and a t test would call two equal pairs certain; the sign test, :math:`p =
    2^{1-n}`, takes its place.

    Args:
        differences: paired differences with the baseline, oriented so that positive is better; NaN
            is left out.
        level: α. Below 0.05, the p-value is scaled up to be read against 0.05.
        rows: difference at each test row, averaged over the pairs, oriented alike.

    References:
        An Approximate Distribution of Estimates of Variance Components, F. E. Satterthwaite, 1946,
            https://doi.org/10.2307/3002019

    >>> compare([1.0, 1.2, 0.9, 1.1]).significant
    True
    """
    d = np.asarray(differences, dtype=float)
    d = d[np.isfinite(d)]
    r = np.asarray([] if rows is None else rows, dtype=float)
    if not d.size:
        return Comparison(math.nan, -math.inf, math.inf, 1.0, 0, False)
    mean, half, p = float(d.mean()), math.inf, 1.0
    if d.size > 1 and np.ptp(d) > 1e-12 * np.abs(d).max():
        parts = [(float(d.var(ddof=1)) / d.size, d.size - 1)]
        if r.size > 1:
            parts.append((float(r.var(ddof=1)) / r.size, r.size - 1))
        variance = sum(part for part, _ in parts)
        freedom = variance**2 / sum(part**2 / free for part, free in parts)
        half = float(stats.t.ppf(1 - level / 2, freedom)) * math.sqrt(variance)
        p = float(2 * stats.t.sf(abs(mean) / math.sqrt(variance), freedom))
    elif mean != 0:
        p = 2.0 ** (1 - d.size)
        half = 0.0 if p < level else math.inf
    better = bool(p < level and mean > 0)
    return Comparison(
        mean, mean - half, mean + half, min(1.0, p * 0.05 / level), int(d.size), better, int(r.size)
    )
