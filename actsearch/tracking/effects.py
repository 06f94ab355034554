"""Whether it matters what stands where, or trainings differ as they do by chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState
from scipy import stats

from actsearch.search.study.record import StudyRun, is_spared, result_of

PERMUTATIONS = 1000
LEVEL = 0.05
LEAST = 8
"""Trainings without which nothing is tested."""

TEST = f"tested by {PERMUTATIONS} permutations of their results, at {LEVEL:.0%} over all sites"


@dataclass(frozen=True)
class Tried:
    """One training: what stood where, and what came of it.

    Args:
        activations: by site, the name of what stood there.
        value: the first objective, a mean over its seeds; ``None`` where it was stopped early or
            diverged, which is worse than any that was completed.
        seeds: how many.
        spread: standard deviation of the value over them; 0 for one.
    """

    activations: Mapping[str, str]
    value: float | None
    seeds: int = 1
    spread: float = 0.0


@dataclass(frozen=True)
class Effect:
    """How much of the differences between trainings goes with what stood at some sites.

    Args:
        sites: those at which the same stood in every training, so that none can tell them apart.
        share: of the variance of the trainings' ranks, that between the activations.
        chance: what the share must reach.
        p: how often chance reaches the share at any of the sites.
    """

    sites: tuple[str, ...]
    share: float
    chance: float
    p: float

    @property
    def is_seen(self) -> bool:
        """Whether it is more than chance."""
        return self.p < LEVEL


def tried(run: StudyRun) -> list[Tried]:
    """Return the trainings that can be compared: all at the baseline's learning rate.

    Where each trial chose its own rate, at whatever rate. What was stopped early counts, as worse
    than what was completed; what failed for another reason than its numbers does not.
    """
    own = {site.name: site.activation for site in run.model_info.found.open}
    rate = None if run.config.learning_rate == "searched" else run.factor(run.baseline)
    found = []
    for trial in run.trials:
        if _is_trained(trial) and rate in (None, run.factor(trial)):
            placement = run.placement(trial)
            placed = placement.sites if placement else {}
            names = {name: entry.activation for name, entry in placed.items()}
            value = trial.values[0] if trial.state == TrialState.COMPLETE else None
            result, metric = result_of(trial), run.config.goals[0].metric
            seeds = max(1, len(result.curves.get(metric, [])))
            found.append(Tried(own | names, value, seeds, result.spread.get(metric, 0.0)))
    return found


def _is_trained(trial: FrozenTrial) -> bool:
    if is_spared(trial):
        return False
    diverged = trial.state == TrialState.FAIL and result_of(trial).reason.startswith("diverged")
    return diverged or trial.state in (TrialState.COMPLETE, TrialState.PRUNED)


def differ(trainings: Sequence[Tried]) -> float | None:
    """Return the p-value of placements that differ no more than their seeds do.

    By the F test of a one-way analysis of variance, of those that were completed; ``None`` where
    none trained with several seeds.
    """
    done = [one for one in trainings if one.value is not None]
    freedom = sum(one.seeds - 1 for one in done)
    noise = sum((one.seeds - 1) * one.spread**2 for one in done) / max(1, freedom)
    if len(done) < 2 or noise == 0:
        return None
    weights = [one.seeds for one in done]
    values = np.array([one.value for one in done], dtype=float)
    between = np.average((values - np.average(values, weights=weights)) ** 2, weights=weights)
    ratio = between * sum(weights) / (len(done) - 1) / noise
    return float(stats.f.sf(ratio, len(done) - 1, freedom))


def effects(trainings: Sequence[Tried], mode: str) -> list[Effect]:
    r"""Return the effect of what stands at each site, the largest first.

    The trainings are ranked, those without a value last and equal. Of sites that always had the
    same, one effect is told. The share is :math:`\eta^2`, between-group by total sum of squares
    of the ranks (the statistic of Kruskal and Wallis); activations that stood there once are one
    group. The ranks are permuted, and each share is compared with its mean and standard deviation
    over the permutations; p is that of the largest over all sites (Westfall and Young's max-T).

    Args:
        trainings: what was tried.
        mode: the better direction, ``min`` or ``max``.

    Returns:
        nothing where fewer than :data:`LEAST` trainings can be compared, or all came to the same.

    References:
        Use of Ranks in One-Criterion Variance Analysis, W. H. Kruskal and W. A. Wallis, 1952,
            https://doi.org/10.1080/01621459.1952.10483441
        Resampling-Based Multiple Testing, P. H. Westfall and S. S. Young, 1993
    """
    if len(trainings) < LEAST:
        return []
    sign = 1 if mode == "min" else -1
    worst = np.inf
    ranks = stats.rankdata([worst if t.value is None else sign * t.value for t in trainings])
    groupings = _groupings(trainings)
    if np.ptp(ranks) == 0 or not groupings:
        return []
    centred = (ranks - ranks.mean()) / np.linalg.norm(ranks - ranks.mean())
    draw = np.random.default_rng(0)
    shuffled = draw.permuted(np.tile(centred, (PERMUTATIONS, 1)), axis=1)
    rows = np.vstack([centred, shuffled])
    shares = np.stack([_between(rows, groups) for groups in groupings])
    mean, spread = shares[:, 1:].mean(1, keepdims=True), shares[:, 1:].std(1, keepdims=True)
    scores = np.where(spread > 1e-9, (shares - mean) / np.maximum(spread, 1e-9), 0.0)
    largest = scores[:, 1:].max(0)
    needed = float(np.quantile(largest, 1 - LEVEL, method="higher"))
    found = [
        Effect(
            sites,
            float(shares[row, 0]),
            float(min(1.0, mean[row, 0] + needed * spread[row, 0])),
            float((1 + (largest >= scores[row, 0] - 1e-9).sum()) / (1 + PERMUTATIONS)),
        )
        for row, sites in enumerate(groupings.values())
    ]
    return sorted(found, key=lambda effect: (effect.p, effect.chance - effect.share))


def _groupings(trainings: Sequence[Tried]) -> dict[tuple[int, ...], tuple[str, ...]]:
    """Return, by the group of each training, the sites that group the trainings so."""
    found: dict[tuple[int, ...], tuple[str, ...]] = {}
    for site in dict.fromkeys(name for one in trainings for name in one.activations):
        names = [one.activations.get(site, "") for one in trainings]
        uses = Counter(names)
        grouped = [name if uses[name] > 1 else "" for name in names]
        numbers = {name: number for number, name in enumerate(dict.fromkeys(grouped))}
        groups = tuple(numbers[name] for name in grouped)
        if len(numbers) > 1:
            found[groups] = (*found.get(groups, ()), site)
    return found


def _between(rows: NDArray[np.float64], groups: Sequence[int]) -> NDArray[np.float64]:
    """Return the sum of squares between groups of each row, whose own is 1 and whose mean is 0."""
    members = np.eye(max(groups) + 1)[list(groups)]
    sums: NDArray[np.float64] = rows @ members
    between: NDArray[np.float64] = (sums**2 / members.sum(0)).sum(1)
    return between
