"""What functions came to on other problems: the package's own, and a user's earlier studies."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution
from optuna.study import Study
from optuna.trial import TrialState
from scipy.linalg import cho_factor, cho_solve

from actsearch.search.samplers.function_space.encoding import Dimension, Encoding
from actsearch.search.samplers.function_space.features import features_of, names_activation
from actsearch.search.samplers.function_space.gaussian_process import GaussianProcess
from actsearch.search.samplers.function_space.observations import normal_scores, observe
from actsearch.search.samplers.function_space.settings import DEFAULTS, Settings

Array = NDArray[np.float64]

SHIPPED_FILE = Path(__file__).with_name("experience.csv")
"""A line an activation, a column a problem: mean score of trainings.

Made by ``benchmarks/tables/experience.py``.
"""

ROWS_AT_A_TIME = 1024


@dataclass(frozen=True)
class SourceTask:
    """An earlier problem: configurations of a study's parameters, and what each came to.

    Args:
        encoding: the parameters, with the earlier problem's functions as further choices, after the
            own ones.
        rows: the configurations.
        scores: quantiles of N(0, 1) at the ranks; one column a problem where several share the
            configurations.
        settings: the priors of the process that predicts them.
    """

    encoding: Encoding
    rows: Array
    scores: Array
    settings: Settings = DEFAULTS

    @classmethod
    def of(
        cls, study: Study, encoding: Encoding, settings: Settings = DEFAULTS
    ) -> SourceTask | None:
        """Return what a study tells by its first objective; ``None`` where that is nothing."""
        ended = [
            t
            for t in study.get_trials(deepcopy=False)
            if t.state in (TrialState.COMPLETE, TrialState.PRUNED)
        ]
        seen = observe(ended, study.directions, settings)
        scores = normal_scores(seen.scores[:, 0], settings.failed_score)
        found = [
            (chosen, s)
            for t, s in zip(seen.trials, scores, strict=True)
            if (chosen := _functions(t.params, encoding))
        ]
        if not found:
            return None
        found.sort(key=lambda pair: -pair[1])
        evenly = np.linspace(0, len(found) - 1, settings.source_trials).round().astype(int)
        found = [found[i] for i in np.unique(evenly)]
        by_site = list(zip(*(names for names, _ in found), strict=True))
        wider = tuple(
            _dimension(d.name, [*d.choices, *more], settings)
            for d, more in zip(encoding.activations, by_site, strict=True)
        )
        functions = np.array(
            [[d.encode(name) for name in names] for d, names in zip(wider, by_site, strict=True)]
        ).T
        wide = replace(encoding, activations=wider)
        rows = _functions_alone(wide, functions)
        return cls(wide, rows, np.array([score for _, score in found]), settings)

    def expected(self, rows: Array) -> Array:
        """Return the scores that the process, before any fit, expects of configurations."""
        functions = _functions_alone(self.encoding, rows[:, : len(self.encoding.activations)])
        kernel, θ = self._process.kernel, self._process.prior_means
        parts = [
            kernel(θ, self._process.distances(part, self.rows)) @ self._weights
            for part in in_parts(functions)
        ]
        return np.concatenate(parts)

    @cached_property
    def _process(self) -> GaussianProcess:
        return GaussianProcess.of(self.encoding, self.settings)

    @cached_property
    def _weights(self) -> Array:
        """The scores, times the inverted covariance: the same for whatever is asked."""
        θ = self._process.prior_means
        covariance = self._process.kernel(θ, self._process.distances(self.rows, self.rows))
        covariance[np.diag_indices_from(covariance)] += np.exp(θ[-1])
        weights: Array = cho_solve(cho_factor(covariance, lower=True), self.scores)
        return weights


class SourceTasks:
    """What is expected of configurations on each earlier problem.

    The predictions of the source tasks are not mixed by fixed weights: the data of the study decide
    which of them tells of it (:class:`ModelAverage`), where the ranking-weighted ensemble of Feurer
    et al. weighs by rankings, and multi-task processes learn a covariance between tasks.

    Args:
        encoding: the parameters of the study that asks.
        studies: earlier ones, of any task. A trial counts where it has each parameter of
            activations by name, or one activation for all. Other parameters are taken to be at
            their middle.
        shipped: whether the package's own problems are among them.
        settings: how many trials of each count, and how they are taken.

    References:
        Scalable Meta-Learning for Bayesian Optimization using Ranking-Weighted Gaussian Process
        Ensembles, M. Feurer, B. Letham and E. Bakshy, 2018, https://arxiv.org/abs/1802.02219

        Multi-Task Bayesian Optimization, K. Swersky, J. Snoek and R. P. Adams, 2013,
        https://papers.nips.cc/paper/5086-multi-task-bayesian-optimization

    """

    def __init__(
        self,
        encoding: Encoding,
        studies: Sequence[Study],
        shipped: bool = True,
        settings: Settings = DEFAULTS,
    ) -> None:
        found = [SourceTask.of(study, encoding, settings) for study in studies]
        self.studies = [task for task in found if task is not None]
        self._shipped: Array | None = None
        if shipped and len(encoding.activations) == 1:
            self._shipped = _expected_of(encoding.activations[0].choices, settings)

    @property
    def prior_odds(self) -> Array:
        """How likely it is that each alone tells of this problem, against that none does.

        1 for each problem of the package's own; an earlier study, which somebody named, has as much
        as all of these. So with 28 of them P(none) = 1/32, and it falls as their number grows.
        """
        shipped = 0 if self._shipped is None else self._shipped.shape[1]
        return np.repeat([float(max(shipped, 1)), 1.0], [len(self.studies), shipped])

    def __call__(self, rows: Array) -> Array:
        """Return what is expected of configurations, (configurations, source tasks).

        The studies come first, then the package's own problems.
        """
        columns = [study.expected(rows)[:, None] for study in self.studies]
        if self._shipped is not None:
            columns.append(self._shipped[rows[:, 0].astype(np.intp)])
        return np.concatenate(columns, 1) if columns else np.zeros((len(rows), 0))


def shipped_scores() -> tuple[tuple[str, ...], tuple[str, ...], Array]:
    """Return what the package's own experience holds.

    Returns:
        The activations, the problems, and the scores, (activations, problems).
    """
    with SHIPPED_FILE.open(newline="", encoding="utf-8") as file:
        (_, *problems), *lines = csv.reader(file)
    scores = np.array([[float(value) for value in line[1:]] for line in lines])
    return (
        tuple(line[0] for line in lines),
        tuple(problems),
        np.where(np.isnan(scores), np.nanmin(scores, 0), scores),
    )


def in_parts(rows: Array) -> Iterator[Array]:
    """Cut configurations into parts that are predicted at a time."""
    for start in range(0, len(rows), ROWS_AT_A_TIME):
        yield rows[start : start + ROWS_AT_A_TIME]


@lru_cache(maxsize=16)
def _expected_of(choices: tuple[str, ...], settings: Settings) -> Array:
    """Return what is expected of each choice on each problem of the package's own experience."""
    activations, _, scores = shipped_scores()
    dimension = _dimension("activation", [*choices, *activations], settings)
    places = [dimension.encode(name) for name in activations]
    ranked = np.stack([normal_scores(column, settings.failed_score) for column in scores.T], 1)
    task = SourceTask(Encoding((dimension,), ()), np.array(places)[:, None], ranked, settings)
    return task.expected(np.arange(len(choices), dtype=float)[:, None])


def _functions_alone(encoding: Encoding, functions: Array) -> Array:
    """Return configurations of functions, with every other parameter at its middle."""
    middle = np.array([dimension.middle for dimension in encoding.others])
    return np.concatenate([functions, np.tile(middle, (len(functions), 1))], 1)


def _functions(parameters: Mapping[str, Any], encoding: Encoding) -> list[str]:
    """Return a trial's function for each parameter of activations; none where it does not tell."""
    names = [dimension.name for dimension in encoding.activations]
    if all(names_activation(parameters.get(name)) for name in names):
        return [parameters[name] for name in names]
    everywhere = {value for value in parameters.values() if names_activation(value)}
    return [everywhere.pop()] * len(names) if len(everywhere) == 1 else []


def _dimension(name: str, activations: Sequence[str], settings: Settings) -> Dimension:
    choices = tuple(dict.fromkeys(activations))
    return Dimension(name, CategoricalDistribution(choices), features_of(choices, settings))
