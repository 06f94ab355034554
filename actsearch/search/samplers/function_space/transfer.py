"""What functions came to on other problems: on small ones that come with the package, and in a user's earlier studies."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
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

from actsearch.search.samplers.function_space.encoding import Dimension, Space
from actsearch.search.samplers.function_space.features import features_of, is_activation
from actsearch.search.samplers.function_space.gaussian_process import Surrogate, chunks
from actsearch.search.samplers.function_space.observations import normal_scores, observe

Array = NDArray[np.float64]

FILE = Path(__file__).with_name("experience.csv")
"""A line an activation, a column a problem: mean score of trainings.

Made by ``benchmarks/tables/experience.py``.
"""

MOST = 200
"""Trials of an earlier study that are recalled, from the best to the worst."""


@dataclass(frozen=True)
class Recalled:
    """An earlier problem: configurations of a study's parameters, and what each came to.

    Args:
        space: the parameters, with the earlier problem's functions as further choices, after the
            own ones.
        rows: the configurations.
        scores: quantiles of N(0, 1) at the ranks; one column a problem where several share the
            configurations.
    """

    space: Space
    rows: Array
    scores: Array

    def expected(self, rows: Array) -> Array:
        """Return the scores that the surrogate, as it is before any fit, expects of configurations after these."""
        kernel, θ = self._surrogate.kernel, self._θ
        alone = _alone(self.space, rows[:, : len(self.space.activations)])
        parts = [
            kernel(θ, self._surrogate.distances(part, self.rows)) @ self._weights
            for part in chunks(alone)
        ]
        return np.concatenate(parts)

    @cached_property
    def _surrogate(self) -> Surrogate:
        return Surrogate.of(self.space)

    @cached_property
    def _θ(self) -> Array:
        return np.array([prior.mean for prior in self._surrogate.kernel.priors])

    @cached_property
    def _weights(self) -> Array:
        """The scores, times the inverted covariance: the same for whatever is asked."""
        covariance = self._surrogate.kernel(
            self._θ, self._surrogate.distances(self.rows, self.rows)
        )
        covariance[np.diag_indices_from(covariance)] += np.exp(self._θ[-1])
        weights: Array = cho_solve(cho_factor(covariance, lower=True), self.scores)
        return weights


class Experience:
    """What is expected of configurations on each earlier problem.

    Args:
        space: the parameters of the study that asks.
        studies: earlier ones, of any task. A trial counts where it has each parameter of
            activations by name, or one activation for all. Other parameters are taken to be at
            their middle.
        shipped: whether the package's own problems are among them.
    """

    def __init__(self, space: Space, studies: Sequence[Study], shipped: bool = True) -> None:
        self.space = space
        self.shipped = shipped
        self.studies = [found for study in studies if (found := recall(space, study)) is not None]

    @property
    def odds(self) -> Array:
        """How likely it is that each problem alone tells of this one: a study that was named, as all of the package's."""
        shipped = 0 if self._shipped is None else self._shipped.shape[1]
        return np.repeat([float(max(shipped, 1)), 1.0], [len(self.studies), shipped])

    def __call__(self, rows: Array) -> Array:
        """Return an array with a row a configuration and a column an earlier problem: the studies, then the package's."""
        columns = [study.expected(rows)[:, None] for study in self.studies]
        if self._shipped is not None:
            columns.append(self._shipped[rows[:, 0].astype(np.intp)])
        return np.concatenate(columns, 1) if columns else np.zeros((len(rows), 0))

    @cached_property
    def _shipped(self) -> Array | None:
        """What is expected of each choice on the package's problems, (choices, problems).

        Of one site alone.
        """
        if len(self.space.activations) != 1 or not self.shipped:
            return None
        return _expected_of(self.space.activations[0].choices)


def load() -> tuple[tuple[str, ...], tuple[str, ...], Array]:
    """Return the activations and the problems of the package's own experience, and the scores, (activations, problems)."""
    with FILE.open(newline="", encoding="utf-8") as file:
        (_, *problems), *lines = csv.reader(file)
    scores = np.array([[float(value) for value in line[1:]] for line in lines])
    return (
        tuple(line[0] for line in lines),
        tuple(problems),
        np.where(np.isnan(scores), np.nanmin(scores, 0), scores),
    )


@lru_cache(maxsize=16)
def _expected_of(choices: tuple[str, ...]) -> Array:
    """Return what is expected of each choice on each problem of the package's own experience."""
    activations, _, scores = load()
    dimension = _dimension("activation", [*choices, *activations])
    places = [dimension.encode(name) for name in activations]
    ranked = np.stack([normal_scores(column) for column in scores.T], 1)
    recalled = Recalled(Space((dimension,), ()), np.array(places)[:, None], ranked)
    return recalled.expected(np.arange(len(choices), dtype=float)[:, None])


def recall(space: Space, study: Study) -> Recalled | None:
    """Return what an earlier study tells by its first objective; ``None`` where that is nothing."""
    ended = [
        t
        for t in study.get_trials(deepcopy=False)
        if t.state in (TrialState.COMPLETE, TrialState.PRUNED)
    ]
    seen = observe(ended, study.directions)
    scores = normal_scores(seen.scores[:, 0])
    found = [
        (chosen, s)
        for t, s in zip(seen.trials, scores, strict=True)
        if (chosen := _functions(t.params, space))
    ]
    if not found:
        return None
    found.sort(key=lambda pair: -pair[1])
    found = [found[i] for i in np.unique(np.linspace(0, len(found) - 1, MOST).round().astype(int))]
    by_site = list(zip(*(names for names, _ in found), strict=True))
    wider = tuple(
        _dimension(d.name, [*d.choices, *more])
        for d, more in zip(space.activations, by_site, strict=True)
    )
    functions = np.array(
        [[d.encode(name) for name in names] for d, names in zip(wider, by_site, strict=True)]
    ).T
    wide = replace(space, activations=wider)
    return Recalled(wide, _alone(wide, functions), np.array([score for _, score in found]))


def _alone(space: Space, functions: Array) -> Array:
    """Return configurations of functions, with every other parameter at its middle."""
    middle = np.array([dimension.middle for dimension in space.others])
    return np.concatenate([functions, np.tile(middle, (len(functions), 1))], 1)


def _functions(parameters: Mapping[str, Any], space: Space) -> list[str]:
    """Return a trial's function for each parameter of activations; none where it does not tell."""
    names = [dimension.name for dimension in space.activations]
    if all(is_activation(parameters.get(name)) for name in names):
        return [parameters[name] for name in names]
    everywhere = {value for value in parameters.values() if is_activation(value)}
    return [everywhere.pop()] * len(names) if len(everywhere) == 1 else []


def _dimension(name: str, activations: Sequence[str]) -> Dimension:
    choices = tuple(dict.fromkeys(activations))
    return Dimension(name, CategoricalDistribution(choices), features_of(choices))
