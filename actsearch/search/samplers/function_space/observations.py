"""What finished trials say of their configurations: a number an objective, larger is better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from scipy.special import ndtri

from actsearch.search.samplers.function_space.settings import DEFAULTS, Settings

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Observations:
    """Finished trials as data of a regression.

    Args:
        trials: the trials.
        scores: larger is better, (trials, objectives); only their order and distances mean
            something; -∞ for a trial that failed.
        observation_noise: variance of each score beside the noise of a training: for a trial that
            was cut short or failed.
    """

    trials: tuple[FrozenTrial, ...]
    scores: Array
    observation_noise: Array

    def __len__(self) -> int:
        return len(self.trials)


def observe(
    trials: Sequence[FrozenTrial],
    directions: Sequence[StudyDirection],
    settings: Settings = DEFAULTS,
) -> Observations:
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
        scores = _below(_finite_scores(column), violation, settings.infeasible_gap)
        cut = _pruned_scores(pruned, complete, scores, sign)
        columns.append(np.concatenate([scores, cut, np.full(len(failed), -np.inf)]))
    noise = np.repeat(
        [0.0, settings.pruned_noise, settings.failed_noise],
        [len(complete), len(pruned), len(failed)],
    )
    return Observations((*complete, *pruned, *failed), np.stack(columns, 1), noise)


def ranks(values: Array) -> Array:
    """Return the ranks in (0, 1), equal values sharing the mean of theirs."""
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    result: Array = (first + (count - 1) / 2 + 0.5)[group] / len(values)
    return result


def normal_scores(values: Array, failed_score: float = DEFAULTS.failed_score) -> Array:
    r"""Return the quantiles of N(0, 1) at the ranks.

    .. math:: z_i = \Phi^{-1}(r_i), \quad r_i \in (0, 1)

    What counts is the order, not how bad a bad one is. The scale changes along a study: the best of
    10 is 1.64, of 40 it is 2.24.

    Args:
        values: larger is better; -∞ for a trial that failed.
        failed_score: score of a failed trial, or the lowest of the others if that is lower.

    References:
        A Quantile-based Approach for Hyperparameter Transfer Learning (there a Gaussian copula
        transform), D. Salinas, H. Shen and V. Perrone, 2020, https://arxiv.org/abs/1909.13595

    """
    ended = np.isfinite(values)
    result = np.full_like(values, failed_score)
    if ended.any():
        result[ended] = ndtri(ranks(values[ended]))
        result[~ended] = min(failed_score, result[ended].min())
    return result


def best_and_random(scores: Array, most: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return the places of the best half and of random others, in order; all if no more than most.

    Args:
        scores: larger is better.
        most: how many.
        rng: draws the others.
    """
    if len(scores) <= most:
        return np.arange(len(scores))
    half = most // 2
    order = np.argsort(-scores, kind="stable")
    return np.sort(np.concatenate([order[:half], rng.permutation(order[half:])[:half]]))


def _finite_scores(scores: Array) -> Array:
    """Replace what is infinite by the best or worst finite score."""
    finite = scores[np.isfinite(scores)]
    if len(finite) == 0:
        return np.zeros_like(scores)
    return np.nan_to_num(scores, nan=finite.min(), posinf=finite.max(), neginf=finite.min())


def _below(scores: Array, violation: Array, gap: float) -> Array:
    """Put trials that are not feasible under the others, the larger the violation the lower."""
    bad = violation > 0
    if not bad.any():
        return scores
    floor = scores[~bad].min() if not bad.all() else 0.0
    spread = float(np.ptp(scores[~bad])) if not bad.all() else 1.0
    lowered = scores.copy()
    lowered[bad] = floor - max(spread, 1e-12) * gap * ranks(violation[bad])
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
