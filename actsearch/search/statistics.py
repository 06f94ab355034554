"""Paired comparison of candidates with a baseline, corrected for having picked the best of several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Comparison:
    """A candidate against the baseline over paired seeds; differences are oriented so that positive is better.

    Args:
        gain: mean of the paired differences.
        low: lower end of the simultaneous confidence interval of the gain.
        high: its upper end.
        p: two-sided p-value, corrected.
        pairs: seeds that both finished.
        significant: whether the corrected test at ``level`` finds the candidate better.
    """

    gain: float
    low: float
    high: float
    p: float
    pairs: int
    significant: bool


def compare(differences: Sequence[Sequence[float]], level: float = 0.05) -> list[Comparison]:
    r"""Compare each candidate with the baseline.

    .. math:: \bar d \pm t_{n-1, 1-\alpha/(2m)} \, s_d / \sqrt n

    A paired t interval for each of the m candidates at level α/m (Bonferroni), so that all m hold together with
    probability 1 - α, whichever of them is looked at afterwards; p-values by Holm's step-down method.

    Args:
        differences: for each candidate, its paired differences with the baseline, oriented so that positive is better.
        level: α, the chance of any wrong claim of a difference.

    References:
        Multiple Comparisons Among Means, O. J. Dunn, 1961, https://doi.org/10.1080/01621459.1961.10482090
        A Simple Sequentially Rejective Multiple Test Procedure, S. Holm, 1979, https://www.jstor.org/stable/4615733

    >>> compare([[1.0, 1.2, 0.9, 1.1]])[0].significant
    True
    """
    arrays = [np.asarray(d, dtype=float)[np.isfinite(np.asarray(d, dtype=float))] for d in differences]
    raw = [_p_value(d) for d in arrays]
    corrected = _holm(raw)
    results = []
    for d, p in zip(arrays, corrected, strict=True):
        mean = float(d.mean()) if d.size else math.nan
        half = math.inf
        if d.size > 1:
            half = float(stats.t.ppf(1 - level / (2 * len(arrays)), d.size - 1) * d.std(ddof=1) / math.sqrt(d.size))
        results.append(Comparison(mean, mean - half, mean + half, p, int(d.size), bool(p < level and mean > 0)))
    return results


def _p_value(d: np.ndarray) -> float:
    if d.size < 2 or np.all(d == 0):
        return 1.0
    if np.ptp(d) == 0:
        return 0.0
    return float(stats.ttest_1samp(d, 0.0).pvalue)


def _holm(p: Sequence[float]) -> list[float]:
    order = np.argsort(p)
    corrected = [1.0] * len(p)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, p[index] * (len(p) - rank)))
        corrected[index] = largest
    return corrected
