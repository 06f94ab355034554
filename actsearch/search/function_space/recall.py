"""What earlier studies tell of the functions that a study may choose from: further data of its model, with more noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution
from optuna.study import Study
from optuna.trial import TrialState

from actsearch.search.function_space.features import features_of, is_activation
from actsearch.search.function_space.history import normal_scores, observe
from actsearch.search.function_space.space import Dimension, Space

Array = NDArray[np.float64]

NOISE = 3.0
"""Variance of an earlier study's score, in that of this study's. With it, studies of like problems save a third of the
trainings, and those of unlike ones cost as many (``benchmarks/README.md``); with 1, they cost several times as many."""

MOST = 100
"""Trials of an earlier study that are recalled: the best, and as many of the others at random."""


@dataclass(frozen=True)
class Recalled:
    """Trials of earlier studies, as configurations of a study's parameters.

    Args:
        space: the parameters, with the earlier studies' functions as further choices, after the own ones.
        rows: one configuration a trial.
        scores: quantiles of N(0, 1) at the ranks within each earlier study.
    """

    space: Space
    rows: Array
    scores: Array

    @property
    def doubt(self) -> Array:
        """The variance of each score."""
        return np.full(len(self.scores), NOISE)


def recall(space: Space, studies: Sequence[Study], seed: int) -> Recalled:
    """Return what earlier studies tell.

    A trial counts where it has each parameter of activations by name, or one activation for all. Other parameters are
    taken to be at their middle.

    Args:
        space: the parameters of the study that asks.
        studies: earlier ones, of any task.
        seed: of the weights of several objectives.
    """
    known: list[tuple[list[str], float]] = []
    for study in studies:
        ended = [t for t in study.get_trials(deepcopy=False) if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
        seen = observe(ended, study.directions, np.random.default_rng(seed))
        scores = normal_scores(seen.scores)
        for index in np.argsort(-scores, kind="stable")[:MOST]:
            if chosen := _functions(seen.trials[index].params, space):
                known.append((chosen, float(scores[index])))
    if not known:
        return Recalled(space, np.zeros((0, len(space.dimensions))), np.zeros(0))
    wider = tuple(_widened(d, [chosen[i] for chosen, _ in known]) for i, d in enumerate(space.activations))
    rows = np.array(
        [
            [*(d.encode(name) for d, name in zip(wider, chosen, strict=True)), *(d.middle for d in space.others)]
            for chosen, _ in known
        ]
    )
    return Recalled(replace(space, activations=wider), rows, np.array([score for _, score in known]))


def _functions(parameters: Mapping[str, Any], space: Space) -> list[str]:
    """Return a trial's function for each parameter of activations; none where it does not tell."""
    names = [dimension.name for dimension in space.activations]
    if all(is_activation(parameters.get(name)) for name in names):
        return [parameters[name] for name in names]
    everywhere = {value for value in parameters.values() if is_activation(value)}
    return [everywhere.pop()] * len(names) if len(everywhere) == 1 else []


def _widened(dimension: Dimension, more: Sequence[str]) -> Dimension:
    assert isinstance(dimension.distribution, CategoricalDistribution), "a parameter of activations"
    choices = tuple(dict.fromkeys([*dimension.distribution.choices, *more]))
    return Dimension(dimension.name, CategoricalDistribution(choices), features_of(choices))
