"""The covariance of a Gaussian process: a sum of Matérn kernels over squared distances."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky
from scipy.optimize import minimize

from actsearch.search.samplers.function_space.settings import DEFAULTS, Settings

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Prior:
    """Normal prior of the logarithm of a hyperparameter."""

    mean: float
    deviation: float

    @classmethod
    def around(cls, median: float, deviation: float) -> Prior:
        """Return the prior of a hyperparameter with that median."""
        return cls(math.log(median), deviation)


@dataclass(frozen=True)
class Term:
    """One Matérn-5/2 kernel of the sum.

    Args:
        distances: the squared distances that it adds up, each with its length scale, by name.
        variances: the variances that it is multiplied by, by name.
    """

    distances: tuple[tuple[str, str], ...]
    variances: tuple[str, ...]


@dataclass(frozen=True)
class Kernel:
    r"""The covariance function, with a prior of every hyperparameter.

    .. math::
        k = \sum_t \Big( \prod_{i \in t} \sigma_i^2 \Big)\,
            M_{5/2}\Big( \Big( \sum_{(d, l) \in t} D_d / \ell_l^2 \Big)^{1/2} \Big)

    The logarithms of the hyperparameters are one vector :math:`\theta`: length scales, variances,
    variance of the noise.

    Args:
        terms: the kernels of the sum.
        lengths: priors of the length scales, by name.
        variances: priors of the variances, by name.
        noise: prior of the variance of the noise.
        jitter: variance added on the diagonal, for the Cholesky factor.
    """

    terms: tuple[Term, ...]
    lengths: Mapping[str, Prior]
    variances: Mapping[str, Prior]
    noise: Prior
    jitter: float = DEFAULTS.jitter

    @property
    def priors(self) -> tuple[Prior, ...]:
        """The priors in the order of the vector of hyperparameters."""
        return (*self.lengths.values(), *self.variances.values(), self.noise)

    def __call__(self, θ: Array, distances: Mapping[str, Array]) -> Array:
        """Return the covariance at squared distances."""
        total: Array = np.zeros_like(next(iter(distances.values())))
        for term in self.terms:
            total += self.variance(θ, term) * _matern(self._squared(θ, term, distances))[0]
        return total

    def variance(self, θ: Array, term: Term) -> float:
        """Return the variance of one kernel of the sum."""
        return float(np.exp(sum(θ[self._variance_places[name]] for name in term.variances)))

    def amplitude(self, θ: Array) -> float:
        """Return the prior variance of the function at a point."""
        return sum(self.variance(θ, term) for term in self.terms)

    def negative_log_posterior(
        self, θ: Array, distances: Mapping[str, Array], y: Array, observation_noise: Array
    ) -> tuple[float, Array]:
        """Return minus the logarithm of likelihood times prior, and its derivative."""
        n, noise = len(y), float(np.exp(θ[-1]))
        parts = []
        covariance = np.diag(noise + self.jitter + observation_noise)
        for term in self.terms:
            variance = self.variance(θ, term)
            value, slope = _matern(self._squared(θ, term, distances))
            parts.append((term, variance * value, variance * slope))
            covariance += variance * value
        factor = cholesky(covariance, lower=True, check_finite=False)
        inverse = cho_solve((factor, True), np.eye(n), check_finite=False)
        α = inverse @ y
        means, deviations = np.array([(p.mean, p.deviation) for p in self.priors]).T
        z = (θ - means) / deviations
        objective = 0.5 * y @ α + np.log(np.diag(factor)).sum() + 0.5 * z @ z
        weight = 0.5 * (inverse - np.outer(α, α))
        gradient = z / deviations
        gradient[-1] += np.trace(weight) * noise
        for term, value, slope in parts:
            for name in term.variances:
                gradient[self._variance_places[name]] += np.vdot(weight, value)
            weighted = weight * slope
            for distance, length in term.distances:
                place = self._length_places[length]
                gradient[place] -= (
                    2 * np.exp(-2 * θ[place]) * np.vdot(weighted, distances[distance])
                )
        return float(objective), gradient

    def fit(
        self,
        distances: Mapping[str, Array],
        y: Array,
        observation_noise: Array,
        settings: Settings = DEFAULTS,
    ) -> Array:
        """Return the logarithms of the hyperparameters of the largest posterior density.

        Args:
            distances: squared distances between the data, (n, n) each.
            y: the data, of zero mean and a variance near 1.
            observation_noise: variance that is known of each datum, beside the fitted noise.
            settings: how long and how far is searched.
        """
        reach = settings.fit_range
        found: Array = minimize(
            self.negative_log_posterior,
            np.array([prior.mean for prior in self.priors]),
            (distances, y, observation_noise),
            jac=True,
            method="L-BFGS-B",
            bounds=[
                (p.mean - reach * p.deviation, p.mean + reach * p.deviation) for p in self.priors
            ],
            options={"maxiter": settings.fit_steps},
        ).x
        return found

    @cached_property
    def _length_places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.lengths)}

    @cached_property
    def _variance_places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.variances, start=len(self.lengths))}

    def _squared(self, θ: Array, term: Term, distances: Mapping[str, Array]) -> Array:
        (distance, length), *others = term.distances
        squared: Array = distances[distance] * np.exp(-2 * θ[self._length_places[length]])
        for distance, length in others:
            scale = np.exp(-2 * θ[self._length_places[length]])
            squared = squared + distances[distance] * scale
        return squared


def _matern(squared: Array) -> tuple[Array, Array]:
    """Return the Matérn-5/2 function of squared distances, and its derivative in them."""
    r = np.sqrt(5 * squared)
    decay = np.exp(-r)
    return (1 + r + r * r / 3) * decay, -5 / 6 * (1 + r) * decay
