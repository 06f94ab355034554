"""What a configuration that was not tried is worth a look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from actsearch.search.samplers.function_space.posterior import Posterior
from actsearch.search.samplers.function_space.settings import DEFAULTS, Settings

Array = NDArray[np.float64]


class Acquisition(Protocol):
    """What configurations are worth: the larger, the sooner tried."""

    def expected(self, rows: Array) -> Array:
        """Return what a training of each is expected to come to."""

    def __call__(self, rows: Array) -> Array:
        """Return what it is worth to train each."""


def acquisition(
    posteriors: Sequence[Posterior],
    sites: int,
    rng: np.random.Generator,
    settings: Settings = DEFAULTS,
) -> Acquisition:
    """Return what suits the number of objectives and of sites.

    Args:
        posteriors: one an objective.
        sites: number of parameters whose choices are activations.
        rng: draws the weights of several objectives.
        settings: constants of the acquisition functions.
    """
    if len(posteriors) > 1:
        weights = rng.dirichlet(np.ones(len(posteriors)))
        draws = rng.standard_normal((settings.objective_draws, len(posteriors)))
        return ScalarisedImprovement(tuple(posteriors), weights, draws, settings.chebyshev_share)
    if sites > 1:
        return UpperConfidenceBound(posteriors[0], settings.confidence)
    return ExpectedImprovement(posteriors[0])


@dataclass(frozen=True)
class _OneObjective:
    """What configurations are worth by one objective.

    Args:
        posterior: of the objective.
    """

    posterior: Posterior

    def expected(self, rows: Array) -> Array:
        """Return the mean."""
        return self.posterior.predict(rows)[0]


class ExpectedImprovement(_OneObjective):
    """The expected improvement of what the next training will show, noise included.

    The improvement is over the best score of a training. With noise, that one is likely to be
    lucky; noisy expected improvement integrates over what the best configuration is (Letham et al.,
    2019), while here the noise of the next training may be lucky as well.

    References:
        Efficient Global Optimization of Expensive Black-Box Functions, D. R. Jones, M. Schonlau and
        W. J. Welch, 1998, https://doi.org/10.1023/A:1008306431147

        Unexpected Improvements to Expected Improvement for Bayesian Optimization, S. Ament,
        S. Daulton, D. Eriksson, M. Balandat and E. Bakshy, 2023, https://arxiv.org/abs/2310.20708

        Constrained Bayesian Optimization with Noisy Experiments, B. Letham, B. Karrer, G. Ottoni
        and E. Bakshy, 2019, https://arxiv.org/abs/1706.07094

    """

    def __call__(self, rows: Array) -> Array:
        """Return its logarithm, over all hypotheses on source tasks."""
        average = self.posterior.average
        means, deviations = self.posterior.hypotheses(rows)
        observed = np.sqrt(deviations**2 + average.noise)
        each = log_improvement(means, observed, float(self.posterior.scores.max()))
        result: Array = np.logaddexp.reduce(each + average.log_probability[:, None])
        return result


@dataclass(frozen=True)
class UpperConfidenceBound(_OneObjective):
    """The mean plus some standard deviations.

    With several sites the expected improvement dwells on changes of one site; this finds better
    placements in as many trainings. The number of deviations is fixed, where the theory lets it
    grow with the trials.

    Args:
        posterior: of the objective.
        deviations: how many.

    References:
        Gaussian Process Optimization in the Bandit Setting: No Regret and Experimental Design,
        N. Srinivas, A. Krause, S. Kakade and M. Seeger, 2010, https://arxiv.org/abs/0912.3995

    """

    deviations: float

    def __call__(self, rows: Array) -> Array:
        """Return the bound."""
        mean, deviation = self.posterior.predict(rows)
        return mean + self.deviations * deviation


@dataclass(frozen=True)
class ScalarisedImprovement:
    r"""The expected improvement of several objectives, made one by a Chebyshev function.

    .. math:: s = \min_k w_k \Phi(y_k) + \rho \sum_k w_k \Phi(y_k)

    of the scores :math:`y_k`, quantiles of N(0, 1) at the ranks, each with a model of its own.
    Other weights for every trial spread the trials over the Pareto front (ParEGO; there the sum is
    modelled, not the objectives).

    Args:
        posteriors: one an objective.
        weights: of the objectives; their sum is 1.
        draws: standard normal numbers, (draws, objectives), the same for every configuration.
        share: :math:`\rho`, of the plain weighted sum.

    References:
        ParEGO: A Hybrid Algorithm with On-Line Landscape Approximation for Expensive Multiobjective
        Optimization Problems, J. Knowles, 2006, https://doi.org/10.1109/TEVC.2005.851274

    """

    posteriors: tuple[Posterior, ...]
    weights: Array
    draws: Array
    share: float

    def expected(self, rows: Array) -> Array:
        """Return the scalarisation of the means."""
        return self.scalarised(np.stack([p.predict(rows)[0] for p in self.posteriors], 1))

    def __call__(self, rows: Array) -> Array:
        """Return the mean over the draws."""
        best = self.scalarised(np.stack([p.scores for p in self.posteriors], 1)).max()
        predicted = [p.predict(rows) for p in self.posteriors]
        means = np.stack([mean for mean, _ in predicted], 1)
        noise = np.array([p.average.noise for p in self.posteriors])
        deviations = np.sqrt(np.stack([deviation for _, deviation in predicted], 1) ** 2 + noise)
        drawn = self.scalarised(means + deviations * self.draws[:, None])
        result: Array = np.maximum(drawn - best, 0).mean(0)
        return result

    def scalarised(self, scores: Array) -> Array:
        """Return one number for the objectives, which are last."""
        weighted = self.weights * ndtr(scores)
        result: Array = weighted.min(-1) + self.share * weighted.sum(-1)
        return result


def log_improvement(mean: Array, deviation: Array, best: float) -> Array:
    r"""Return the logarithm of the expected improvement, which does not vanish far below the best.

    .. math::
        \log \mathbb E \max(f - f^*, 0) = \log \sigma + \log(\phi(z) + z \Phi(z)), \quad
        z = (\mu - f^*) / \sigma

    Numerics: below -10 the leading term for z → -∞ (LogEI, Ament et al., 2023).
    """
    z = (mean - best) / deviation
    density = np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    near = np.log(np.maximum(density + z * ndtr(z), 1e-300))
    far = -z * z / 2 - np.log(2 * np.pi) / 2 - 2 * np.log(np.maximum(np.abs(z), 1e-9))
    result: Array = np.log(deviation) + np.where(z > -10, near, far)
    return result
