"""What a configuration that was not tried is worth a look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from actsearch.search.samplers.function_space.gaussian_process import Model

Array = NDArray[np.float64]

RHO = 0.05
"""Share of the plain weighted sum in the augmented Chebyshev scalarisation."""

DRAWS = 128


class Acquisition(Protocol):
    """What configurations are worth: the larger, the sooner tried."""

    def expected(self, rows: Array) -> Array:
        """Return what a training of each is expected to come to."""

    def __call__(self, rows: Array) -> Array:
        """Return what it is worth to train each."""


def acquisition(models: Sequence[Model], sites: int, rng: np.random.Generator) -> Acquisition:
    """Return what suits the number of objectives and of sites."""
    if len(models) > 1:
        weights = rng.dirichlet(np.ones(len(models)))
        return ScalarisedImprovement(
            tuple(models), weights, rng.standard_normal((DRAWS, len(models)))
        )
    return UpperBound(models[0]) if sites > 1 else Improvement(models[0])


@dataclass(frozen=True)
class _OneObjective:
    """What configurations are worth by one objective.

    Args:
        model: of the objective.
    """

    model: Model

    def expected(self, rows: Array) -> Array:
        """Return the mean."""
        return self.model.predict(rows)[0]


class Improvement(_OneObjective):
    """The expected improvement over the best score of a training, noise included: of what the next training will show."""

    def __call__(self, rows: Array) -> Array:
        """Return its logarithm, over all hypotheses on earlier problems."""
        means, deviations = self.model.hypotheses(rows)
        observed = np.sqrt(deviations**2 + self.model.mixture.noise)
        each = log_improvement(means, observed, float(self.model.scores.max()))
        result: Array = np.logaddexp.reduce(each + self.model.mixture.evidence[:, None])
        return result


class UpperBound(_OneObjective):
    """The mean plus one standard deviation.

    With several sites the expected improvement dwells on changes of one site; this finds better
    placements in as many trainings.
    """

    def __call__(self, rows: Array) -> Array:
        """Return the bound."""
        mean, deviation = self.model.predict(rows)
        return mean + deviation


@dataclass(frozen=True)
class ScalarisedImprovement:
    r"""The expected improvement of several objectives, each with its own model, made one by an augmented Chebyshev function.

    .. math:: s = \min_k w_k \Phi(y_k) + 0.05 \sum_k w_k \Phi(y_k)

    of the scores :math:`y_k`, quantiles of N(0, 1) at the ranks. Other weights for every trial spread the trials over the
    Pareto front (ParEGO; there the sum is modelled, not the objectives).

    Args:
        models: one an objective.
        weights: of the objectives; their sum is 1.
        draws: standard normal numbers, (draws, objectives), the same for every configuration.

    References:
        ParEGO: A Hybrid Algorithm with On-Line Landscape Approximation for Expensive Multiobjective
        Optimization Problems, J. Knowles, 2006, https://doi.org/10.1109/TEVC.2005.851274

    """

    models: tuple[Model, ...]
    weights: Array
    draws: Array

    def expected(self, rows: Array) -> Array:
        """Return the scalarisation of the means."""
        return self.scalarised(np.stack([model.predict(rows)[0] for model in self.models], 1))

    def __call__(self, rows: Array) -> Array:
        """Return the mean over the draws."""
        best = self.scalarised(np.stack([model.scores for model in self.models], 1)).max()
        predicted = [model.predict(rows) for model in self.models]
        means = np.stack([mean for mean, _ in predicted], 1)
        noise = np.array([model.mixture.noise for model in self.models])
        deviations = np.sqrt(np.stack([deviation for _, deviation in predicted], 1) ** 2 + noise)
        drawn = self.scalarised(means + deviations * self.draws[:, None])
        result: Array = np.maximum(drawn - best, 0).mean(0)
        return result

    def scalarised(self, scores: Array) -> Array:
        """Return one number for the objectives, which are last."""
        weighted = self.weights * ndtr(scores)
        result: Array = weighted.min(-1) + RHO * weighted.sum(-1)
        return result


def log_improvement(mean: Array, deviation: Array, best: float) -> Array:
    r"""Return the logarithm of the expected improvement, which does not vanish far below the best.

    .. math:: \log \mathbb E \max(f - f^*, 0) = \log \sigma + \log(\phi(z) + z \Phi(z)), \quad z = (\mu - f^*) / \sigma
    """
    z = (mean - best) / deviation
    density = np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    near = np.log(np.maximum(density + z * ndtr(z), 1e-300))
    far = (
        -z * z / 2 - np.log(2 * np.pi) / 2 - 2 * np.log(np.maximum(np.abs(z), 1e-9))
    )  # the leading term for z → -∞
    result: Array = np.log(deviation) + np.where(z > -10, near, far)
    return result
