"""The covariance of a Gaussian process: a sum of Matérn kernels over given squared distances, fitted to data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky
from scipy.optimize import minimize

Array = NDArray[np.float64]

JITTER = 1e-6
STEPS = 30
FAR = 4.0
"""Hyperparameters stay within this many standard deviations of their prior."""


@dataclass(frozen=True)
class Prior:
    """Normal prior of the logarithm of a hyperparameter."""

    mean: float
    deviation: float


@dataclass(frozen=True)
class Term:
    """One Matérn-5/2 kernel of the sum.

    Args:
        distances: the squared distances that it adds up, each with its length scale, by index.
        variances: the variances that it is multiplied by, by index.
    """

    distances: tuple[tuple[int, int], ...]
    variances: tuple[int, ...]


@dataclass(frozen=True)
class Kernel:
    r"""The covariance function, with a prior of every hyperparameter.

    .. math:: k = \sum_t \Big( \prod_{i \in t} \sigma_i^2 \Big)\, M_{5/2}\Big( \Big( \sum_{(d, l) \in t} D_d / \ell_l^2 \Big)^{1/2} \Big)

    The logarithms of the hyperparameters are one vector :math:`\theta`: length scales, variances, variance of the noise.

    Args:
        terms: the kernels of the sum.
        lengths: priors of the length scales.
        variances: priors of the variances.
        noise: prior of the variance of the noise.
    """

    terms: tuple[Term, ...]
    lengths: tuple[Prior, ...]
    variances: tuple[Prior, ...]
    noise: Prior

    @property
    def priors(self) -> tuple[Prior, ...]:
        """The priors in the order of the vector of hyperparameters."""
        return (*self.lengths, *self.variances, self.noise)

    def __call__(self, θ: Array, distances: Sequence[Array]) -> Array:
        """Return the covariance at squared distances."""
        total: Array = np.zeros_like(distances[0])
        for term in self.terms:
            total += self.variance(θ, term) * _matern(self._squared(θ, term, distances))[0]
        return total

    def variance(self, θ: Array, term: Term) -> float:
        """Return the variance of one kernel of the sum."""
        return float(np.exp(sum(θ[len(self.lengths) + i] for i in term.variances)))

    def amplitude(self, θ: Array) -> float:
        """Return the prior variance of the function at a point."""
        return sum(self.variance(θ, term) for term in self.terms)

    def negative_log_posterior(
        self, θ: Array, distances: Sequence[Array], y: Array, doubt: Array
    ) -> tuple[float, Array]:
        """Return minus the logarithm of likelihood times prior, and its derivative."""
        n, noise = len(y), float(np.exp(θ[-1]))
        parts = []
        covariance = np.diag(noise + JITTER + doubt)
        for term in self.terms:
            variance, (value, slope) = (
                self.variance(θ, term),
                _matern(self._squared(θ, term, distances)),
            )
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
            for i in term.variances:
                gradient[len(self.lengths) + i] += np.vdot(weight, value)
            weighted = weight * slope
            for d, scale in term.distances:
                gradient[scale] -= 2 * np.exp(-2 * θ[scale]) * np.vdot(weighted, distances[d])
        return float(objective), gradient

    def _squared(self, θ: Array, term: Term, distances: Sequence[Array]) -> Array:
        (d, scale), *others = term.distances
        squared: Array = distances[d] * np.exp(-2 * θ[scale])
        for d, scale in others:
            squared = squared + distances[d] * np.exp(-2 * θ[scale])
        return squared


def fit(
    kernel: Kernel,
    distances: Sequence[Array],
    y: Array,
    doubt: Array | None = None,
    rows: NDArray[np.intp] | None = None,
) -> Array:
    """Return the logarithms of the hyperparameters of the largest posterior density.

    Args:
        kernel: the covariance function.
        distances: squared distances between the data, (n, n) each.
        y: the data, of zero mean and a variance near 1.
        doubt: variance of noise that is known of each datum, beside the fitted one.
        rows: the data that the hyperparameters are fitted to, by index; all unless given.
    """
    doubt = np.zeros(len(y)) if doubt is None else doubt
    part, data, known = distances, y, doubt
    if rows is not None:
        part, data, known = [d[np.ix_(rows, rows)] for d in distances], y[rows], doubt[rows]
    start = np.array([prior.mean for prior in kernel.priors])
    bounds = [(p.mean - FAR * p.deviation, p.mean + FAR * p.deviation) for p in kernel.priors]
    options = {"maxiter": STEPS}
    objective = kernel.negative_log_posterior
    found: Array = minimize(
        objective,
        start,
        (part, data, known),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options=options,
    ).x
    return found


def _matern(squared: Array) -> tuple[Array, Array]:
    """Return the Matérn-5/2 function of squared distances, and its derivative in them."""
    r = np.sqrt(5 * squared)
    decay = np.exp(-r)
    return (1 + r + r * r / 3) * decay, -5 / 6 * (1 + r) * decay
