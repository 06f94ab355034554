"""A Gaussian process plus a weighted sum of known functions, of which none, any single one or all may matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

from actsearch.search.samplers.function_space.kernel import JITTER, Kernel

Array = NDArray[np.float64]

SHARE = 0.6
"""Variance of the process beside known functions, in that of the process alone."""

LEVEL = 0.3
"""Variance of the constant that is added."""

WEIGHT, DOUBT = 0.8, 0.2
"""Mean and variance of the weight of a known function that matters alone: scores on like problems are correlated."""

TOTAL = 1.0
"""Sum of the variances of the weights where all matter; their mean is 0."""

ALL = 3.0
"""How likely it is that all matter, against that none does."""


@dataclass(frozen=True)
class Mixture:
    r"""What data tell of :math:`f = g + c + \sum_p w_p e_p`, with known functions :math:`e_p`.

    :math:`g` is a Gaussian process, :math:`c` a normal constant, the weights are normal; a
    hypothesis says which of them are not zero. All hypotheses share one factorised covariance; the
    weights are integrated out (explicit basis functions, section 2.7 of Gaussian Processes for
    Machine Learning, C. E. Rasmussen and C. K. I. Williams, 2006,
    https://gaussianprocess.org/gpml/chapters/RW2.pdf).

    Args:
        kernel: covariance function of the process.
        θ: logarithms of its hyperparameters.
        factor: Cholesky factor of the covariance of the data.
        data: the data, times the inverted factor.
        basis: the known functions at the data, (data, functions), times the inverted factor.
        evidence: logarithm of the probability of each hypothesis: no function, each alone, all.
    """

    kernel: Kernel
    θ: Array
    factor: Array
    data: Array
    basis: Array
    evidence: Array

    @classmethod
    def of(
        cls,
        kernel: Kernel,
        θ: Array,
        distances: Sequence[Array],
        known: Array,
        odds: Array,
        y: Array,
        doubt: Array,
    ) -> Mixture:
        """Condition on data.

        Args:
            kernel: covariance function of the process.
            θ: logarithms of its hyperparameters.
            distances: squared distances between the data, (n, n) each.
            known: the known functions at the data, (n, functions).
            odds: how likely it is that each matters alone, against that none does.
            y: the data.
            doubt: variance of each datum beside the noise.
        """
        share, level = _shares(known)
        covariance = share * kernel(θ, distances) + level
        covariance[np.diag_indices_from(covariance)] += np.exp(θ[-1]) + JITTER + doubt
        factor = cholesky(covariance, lower=True, check_finite=False)
        data, basis = (
            solve_triangular(factor, a, lower=True, check_finite=False) for a in (y, known)
        )
        evidence = [0.0]
        if known.shape[1]:
            weight, variance = _single(basis, data)
            evidence += list(
                np.log(odds)
                + (weight**2 / variance - WEIGHT**2 / DOUBT + np.log(variance / DOUBT)) / 2
            )
            root, whitened = _all(basis, data)
            scaled = np.diag(root) * np.sqrt(TOTAL / known.shape[1])
            evidence.append(np.log(ALL) + whitened @ whitened / 2 - np.log(scaled).sum())
        log = np.array(evidence)
        return cls(kernel, θ, factor, data, basis, log - np.logaddexp.reduce(log))

    @property
    def noise(self) -> float:
        """Variance of the noise of a datum."""
        return float(np.exp(self.θ[-1]))

    def predict(self, distances: Sequence[Array], known: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation, without noise, under each hypothesis.

        Args:
            distances: squared distances of points to the data, (points, data) each.
            known: the known functions at the points.

        Returns:
            Two arrays (hypotheses, points).
        """
        share, level = _shares(known)
        cross = share * self.kernel(self.θ, distances) + level
        half = solve_triangular(self.factor, cross.T, lower=True, check_finite=False)
        mean = half.T @ self.data
        variance = share * self.kernel.amplitude(self.θ) + level - np.einsum("ij,ij->j", half, half)
        means, variances = [mean[None]], [variance[None]]
        if known.shape[1]:
            rest = known - half.T @ self.basis  # what the data leave open of each function
            weight, uncertainty = _single(self.basis, self.data)
            means.append(mean + (rest * weight).T)
            variances.append(variance + (rest**2 * uncertainty).T)
            root, whitened = _all(self.basis, self.data)
            spread = solve_triangular(root, rest.T, lower=True, check_finite=False)
            means.append((mean + spread.T @ whitened)[None])
            variances.append((variance + np.einsum("ij,ij->j", spread, spread))[None])
        return np.concatenate(means), np.sqrt(np.maximum(np.concatenate(variances), 1e-10))


def _shares(known: Array) -> tuple[float, float]:
    return (SHARE, LEVEL) if known.shape[1] else (1.0, 0.0)


def _single(basis: Array, data: Array) -> tuple[Array, Array]:
    """Return mean and variance of the weight of each function alone."""
    variance = 1 / (1 / DOUBT + (basis**2).sum(0))
    return variance * (basis.T @ data + WEIGHT / DOUBT), variance


def _all(basis: Array, data: Array) -> tuple[Array, Array]:
    """Return the factor of the precision of all weights together, and their mean, times that factor's transpose."""
    count = basis.shape[1]
    root = cholesky(np.eye(count) * count / TOTAL + basis.T @ basis, lower=True, check_finite=False)
    return root, solve_triangular(root, basis.T @ data, lower=True, check_finite=False)
