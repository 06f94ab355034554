"""What the trials of a study say of the configurations tried: a number for each objective, larger is better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from scipy.special import ndtri

Array = NDArray[np.float64]

PRUNED_NOISE = 0.1
FAILED_NOISE = 0.2
FAILED = -2.0
"""Score of a failed trial, in standard deviations of the others."""


@dataclass(frozen=True)
class Observations:
    """Finished trials as data of a regression.

    Args:
        trials: the trials.
        scores: larger is better, (trials, objectives); only their order and distances mean
            something; -∞ for a trial that failed.
        doubt: variance of each score beside the noise of a training: for a trial that was cut short
            or failed.
    """

    trials: tuple[FrozenTrial, ...]
    scores: Array
    doubt: Array

    def __len__(self) -> int:
        return len(self.trials)


def observe(trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> Observations:
    """Return the scores of the trials that ended.

    A pruned trial is given the final value that completed trials with as good an intermediate value
    came to, at most their median; a trial that is not feasible is worse than every feasible one, by
    its violation; a failed one is worst.
    """
    signs = np.array([1.0 if d == StudyDirection.MAXIMIZE else -1.0 for d in directions])
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    pruned = [t for t in trials if t.state == TrialState.PRUNED]
    failed = [t for t in trials if t.state == TrialState.FAIL]
    values = np.array([signs * np.array(t.values) for t in complete]).reshape(
        len(complete), len(signs)
    )
    violation = np.array([sum(max(0.0, v) for v in t.constraints.values()) for t in complete])
    columns = []
    for column, sign in zip(values.T, signs, strict=True):
        scores = _below(_finite(column), violation)
        cut = _pruned_scores(pruned, complete, scores, sign)
        columns.append(np.concatenate([scores, cut, np.full(len(failed), -np.inf)]))
    return Observations(
        (*complete, *pruned, *failed),
        np.stack(columns, 1),
        np.repeat([0.0, PRUNED_NOISE, FAILED_NOISE], [len(complete), len(pruned), len(failed)]),
    )


def ranks(values: Array) -> Array:
    """Return the ranks in (0, 1), equal values sharing the mean of theirs."""
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    result: Array = (first + (count - 1) / 2 + 0.5)[group] / len(values)
    return result


def normal_scores(values: Array) -> Array:
    """Return the quantiles of N(0, 1) at the ranks: what counts is the order, not how bad a bad one is.

    Those of failed trials are as low as the lowest, at least ``FAILED``.
    """
    ended = np.isfinite(values)
    result = np.full_like(values, FAILED)
    if ended.any():
        result[ended] = ndtri(ranks(values[ended]))
        result[~ended] = min(FAILED, result[ended].min())
    return result


def _finite(scores: Array) -> Array:
    """Replace what is infinite by the best or worst finite score."""
    finite = scores[np.isfinite(scores)]
    if len(finite) == 0:
        return np.zeros_like(scores)
    return np.nan_to_num(scores, nan=finite.min(), posinf=finite.max(), neginf=finite.min())


def _below(scores: Array, violation: Array) -> Array:
    """Put trials that are not feasible under the others, the larger the violation the lower."""
    bad = violation > 0
    if not bad.any():
        return scores
    floor = scores[~bad].min() if not bad.all() else 0.0
    spread = float(np.ptp(scores[~bad])) if not bad.all() else 1.0
    lowered = scores.copy()
    lowered[bad] = floor - max(spread, 1e-12) * 0.5 * ranks(violation[bad])
    return lowered


def _pruned_scores(
    pruned: Sequence[FrozenTrial], complete: Sequence[FrozenTrial], scores: Array, sign: float
) -> Array:
    """Return a pessimistic final score of each pruned trial."""
    middle = float(np.median(scores)) if len(scores) else 0.0
    lowest = float(scores.min()) if len(scores) else 0.0
    result = np.full(len(pruned), lowest)
    for i, trial in enumerate(pruned):
        step = trial.last_step
        if step is None or not np.isfinite(value := sign * trial.intermediate_values[step]):
            continue
        peers = [j for j, t in enumerate(complete) if step in t.intermediate_values]
        if peers:
            at_step = np.array([sign * complete[j].intermediate_values[step] for j in peers])
            share = float((at_step < value).mean())
            result[i] = min(float(np.quantile(scores[peers], share)), middle)
        elif not complete:
            result[i] = value
    return result
