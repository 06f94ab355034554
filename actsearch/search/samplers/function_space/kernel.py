"""The covariance of a Gaussian process: a sum of Matérn kernels over squared distances."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, lapack
from scipy.optimize import minimize

from actsearch.search.samplers.function_space.distances import Distances, Pairs
from actsearch.search.samplers.function_space.settings import DEFAULTS, Settings

Array = NDArray[np.float64]

CACHED = 1 << 14
"""Entries of a matrix that are worked on at a time."""


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
        k = \sum_t \sigma_t^2\, M_{5/2}(r_t)
            + \sum_s \sigma_s^2 \sum_u \sigma_u^2\, M_{5/2}(r_{us}), \quad
        r_t^2 = \sum_{(d, l) \in t} D_d / \ell_l^2, \quad
        \sigma_t^2 = \prod_{i \in t} \sigma_i^2

    of the terms :math:`t`, whose distances are between configurations, and where there are several
    sites :math:`s`, of the terms :math:`u`, whose distances are between the choices at a site. The
    logarithms of the hyperparameters are one vector :math:`\theta`: length scales, variances,
    variance of the noise.

    Args:
        terms: the kernels over configurations.
        site_terms: the kernels over the choices at a site.
        sites: names of the variances of the sites.
        lengths: priors of the length scales, by name.
        variances: priors of the variances, by name.
        noise: prior of the variance of the noise.
        jitter: variance added on the diagonal, for the Cholesky factor.
    """

    terms: tuple[Term, ...]
    site_terms: tuple[Term, ...]
    sites: tuple[str, ...]
    lengths: Mapping[str, Prior]
    variances: Mapping[str, Prior]
    noise: Prior
    jitter: float = DEFAULTS.jitter

    @property
    def priors(self) -> tuple[Prior, ...]:
        """The priors in the order of the vector of hyperparameters."""
        return (*self.lengths.values(), *self.variances.values(), self.noise)

    def __call__(self, θ: Array, distances: Distances) -> Array:
        """Return the covariance at squared distances."""
        total = np.zeros(distances.shape)
        for part in _blocks(distances.shape):
            squared = {name: matrix[part] for name, matrix in distances.squared.items()}
            for term in self.terms:
                total[part] += self._value(θ, term, squared)
        site_variances = self._site_variances(θ)
        for group in distances.alike:
            values = [self._value(θ, term, group.squared) for term in self.site_terms]
            total += group.total(np.sum(values, 0), site_variances[group.sites])
        return total

    def variance(self, θ: Array, term: Term) -> float:
        """Return the variance of one kernel of the sum."""
        return float(np.exp(sum(θ[self._variance_places[name]] for name in term.variances)))

    def amplitude(self, θ: Array) -> float:
        """Return the prior variance of the function at a point."""
        at_a_site = sum(self.variance(θ, term) for term in self.site_terms)
        sites = float(self._site_variances(θ).sum())
        return sum(self.variance(θ, term) for term in self.terms) + sites * at_a_site

    def negative_log_posterior(
        self, θ: Array, pairs: Pairs, y: Array, observation_noise: Array
    ) -> tuple[float, Array]:
        """Return minus the logarithm of likelihood times prior, and its derivative."""
        noise, sites = float(np.exp(θ[-1])), self._site_variances(θ)
        whole = [self._part(θ, term, pairs.squared) for term in self.terms]
        under = np.zeros(len(pairs.lower[0]))
        for part in whole:
            under += part.value
        at_sites = []
        for group in pairs.alike:
            parts = [self._part(θ, term, group.squared) for term in self.site_terms]
            values = np.sum([part.value for part in parts], 0)[group.places]
            under += sites[group.sites] @ values
            at_sites.append((group, parts, values))
        covariance = np.diag(self.amplitude(θ) + noise + self.jitter + observation_noise)
        covariance[pairs.lower] = under
        likelihood, by_covariance = _negative_log_likelihood(covariance, y)
        on, off = np.trace(by_covariance), 2 * by_covariance[pairs.lower]  # each pair stands twice
        means, deviations = np.array([(p.mean, p.deviation) for p in self.priors]).T
        z = (θ - means) / deviations
        gradient = z / deviations
        gradient[-1] += on * noise
        for part in whole:
            self._add_derivative(gradient, θ, part, on, off)
        for group, parts, values in at_sites:
            own = sites[group.sites]
            at_a_site = sum(part.variance for part in parts)
            gradient[self._site_places[group.sites]] += own * (on * at_a_site + values @ off)
            of_choices = group.gathered(own[:, None] * off)
            for part in parts:
                self._add_derivative(gradient, θ, part, on * own.sum(), of_choices)
        return likelihood + float(0.5 * z @ z), gradient

    def _add_derivative(
        self, gradient: Array, θ: Array, part: _Part, on: float, off: Array
    ) -> None:
        """Add what a part's hyperparameters change, from the derivative by its entries.

        These are the ones on the diagonal, together, and those off it.
        """
        for name in part.term.variances:
            gradient[self._variance_places[name]] += on * part.variance + off @ part.value
        weighted = off * part.slope
        for distance, length in part.term.distances:
            place = self._length_places[length]
            gradient[place] -= 2 * np.exp(-2 * θ[place]) * (weighted @ part.squared[distance])

    def _part(self, θ: Array, term: Term, squared: Mapping[str, Array]) -> _Part:
        variance = self.variance(θ, term)
        value, slope = _matern_and_slope(self._scaled(θ, term, squared))
        return _Part(term, squared, variance, variance * value, variance * slope)

    def _value(self, θ: Array, term: Term, squared: Mapping[str, Array]) -> Array:
        return self.variance(θ, term) * _matern(self._scaled(θ, term, squared))

    def _site_variances(self, θ: Array) -> Array:
        return np.exp(θ[self._site_places])

    def fit(
        self,
        pairs: Pairs,
        y: Array,
        observation_noise: Array,
        settings: Settings = DEFAULTS,
    ) -> Array:
        """Return the logarithms of the hyperparameters of the largest posterior density.

        Args:
            pairs: squared distances between the data.
            y: the data, of zero mean and a variance near 1.
            observation_noise: variance that is known of each datum, beside the fitted noise.
            settings: how long and how far is searched.
        """
        reach = settings.fit_range
        found: Array = minimize(
            self.negative_log_posterior,
            np.array([prior.mean for prior in self.priors]),
            (pairs, y, observation_noise),
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

    @cached_property
    def _site_places(self) -> NDArray[np.intp]:
        return np.array([self._variance_places[name] for name in self.sites], dtype=np.intp)

    def _scaled(self, θ: Array, term: Term, squared: Mapping[str, Array]) -> Array:
        """Return the sum of the squared distances of a term, in units of their length scales."""
        (distance, length), *others = term.distances
        scaled: Array = squared[distance] * np.exp(-2 * θ[self._length_places[length]])
        for distance, length in others:
            scaled += squared[distance] * np.exp(-2 * θ[self._length_places[length]])
        return scaled


@dataclass(frozen=True)
class _Part:
    """What a term comes to.

    Args:
        term: the term.
        squared: the distances it was evaluated at, by name.
        variance: its variance.
        value: its value at each entry.
        slope: its derivative there in the scaled squared distance.
    """

    term: Term
    squared: Mapping[str, Array]
    variance: float
    value: Array
    slope: Array


def _blocks(shape: tuple[int, int]) -> Iterator[slice]:
    """Cut the rows of a matrix into parts that stay in a processor's cache."""
    size = max(1, CACHED // max(1, shape[1]))
    for start in range(0, shape[0], size):
        yield slice(start, start + size)


def _negative_log_likelihood(covariance: Array, y: Array) -> tuple[float, Array]:
    """Return minus the logarithm of the likelihood, less a constant; the derivative by entries.

    Args:
        covariance: of the data; what is above the diagonal is not looked at, nor right in the
            derivative.
        y: the data.
    """
    factor = cholesky(covariance, lower=True, check_finite=False)
    α = cho_solve((factor, True), y, check_finite=False)
    inverse, _ = lapack.dpotri(factor, lower=1)
    value = 0.5 * y @ α + np.log(np.diag(factor)).sum()
    return float(value), 0.5 * (inverse - np.outer(α, α))


def _matern(squared: Array) -> Array:
    """Return the Matérn-5/2 function of squared distances."""
    r = np.sqrt(5 * squared)
    value: Array = (1 + r + r * r / 3) * np.exp(-r)
    return value


def _matern_and_slope(squared: Array) -> tuple[Array, Array]:
    """Return the Matérn-5/2 function of squared distances, and its derivative in them."""
    r = np.sqrt(5 * squared)
    decay = np.exp(-r)
    return (1 + r + r * r / 3) * decay, -5 / 6 * (1 + r) * decay
