"""A Gaussian process plus a weighted sum of known functions: none, any one or all may matter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

from actsearch.search.samplers.function_space.distances import Distances
from actsearch.search.samplers.function_space.kernel import Kernel
from actsearch.search.samplers.function_space.settings import DEFAULTS, Settings

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ModelAverage:
    r"""What data tell of :math:`f = g + c + \sum_p w_p e_p`, with known functions :math:`e_p`.

    :math:`g` is a Gaussian process, :math:`c` a normal constant, the weights are normal; a
    hypothesis says which of them are not zero. All hypotheses share one factorised covariance; the
    weights are integrated out (explicit basis functions), and the hypotheses averaged by their
    posterior probabilities. Where there are no known functions there is no constant, and the
    process has its full variance.

    Args:
        kernel: covariance function of the process.
        θ: logarithms of its hyperparameters.
        factor: Cholesky factor of the covariance of the data.
        data: the data, times the inverted factor.
        basis: the known functions at the data, (data, functions), times the inverted factor.
        log_probability: of each hypothesis, given the data: no function, each alone, all.
        settings: the priors of constant and weights.

    References:
        Gaussian Processes for Machine Learning, C. E. Rasmussen and C. K. I. Williams, 2006,
        section 2.7, https://gaussianprocess.org/gpml/chapters/RW2.pdf

        Bayesian Model Averaging: A Tutorial, J. A. Hoeting, D. Madigan, A. E. Raftery and
        C. T. Volinsky, 1999, https://doi.org/10.1214/ss/1009212519

    """

    kernel: Kernel
    θ: Array
    factor: Array
    data: Array
    basis: Array
    log_probability: Array
    settings: Settings

    @classmethod
    def conditioned(
        cls,
        kernel: Kernel,
        θ: Array,
        distances: Distances,
        known: Array,
        prior_odds: Array,
        y: Array,
        observation_noise: Array,
        settings: Settings = DEFAULTS,
    ) -> ModelAverage:
        """Condition on data.

        Args:
            kernel: covariance function of the process.
            θ: logarithms of its hyperparameters.
            distances: squared distances between the data.
            known: the known functions at the data, (n, functions).
            prior_odds: how likely it is that each matters alone, against that none does.
            y: the data.
            observation_noise: variance of each datum beside the noise.
            settings: the priors of constant and weights.
        """
        share, constant = _process(known, settings)
        covariance = share * kernel(θ, distances) + constant
        covariance[np.diag_indices_from(covariance)] += (
            np.exp(θ[-1]) + kernel.jitter + observation_noise
        )
        factor = cholesky(covariance, lower=True, check_finite=False)
        data, basis = (
            solve_triangular(factor, a, lower=True, check_finite=False) for a in (y, known)
        )
        log = [0.0]
        if known.shape[1]:
            mean, variance = settings.weight_mean, settings.weight_variance
            weight, posterior_variance = _single_weights(basis, data, settings)
            log += list(
                np.log(prior_odds)
                + (
                    weight**2 / posterior_variance
                    - mean**2 / variance
                    + np.log(posterior_variance / variance)
                )
                / 2
            )
            root, whitened = _all_weights(basis, data, settings)
            scaled = np.diag(root) * np.sqrt(settings.total_weight_variance / known.shape[1])
            log.append(np.log(settings.all_odds) + whitened @ whitened / 2 - np.log(scaled).sum())
        joint = np.array(log)
        return cls(kernel, θ, factor, data, basis, joint - np.logaddexp.reduce(joint), settings)

    @property
    def noise(self) -> float:
        """Variance of the noise of a datum."""
        return float(np.exp(self.θ[-1]))

    def predict(self, distances: Distances, known: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation, without noise, under each hypothesis.

        Args:
            distances: squared distances of points to the data.
            known: the known functions at the points.

        Returns:
            Two arrays (hypotheses, points).
        """
        share, constant = _process(known, self.settings)
        cross = share * self.kernel(self.θ, distances) + constant
        half = solve_triangular(self.factor, cross.T, lower=True, check_finite=False)
        mean = half.T @ self.data
        prior_variance = share * self.kernel.amplitude(self.θ) + constant
        variance = prior_variance - np.einsum("ij,ij->j", half, half)
        means, variances = [mean[None]], [variance[None]]
        if known.shape[1]:
            rest = known - half.T @ self.basis  # what the data leave open of each function
            weight, weight_variance = _single_weights(self.basis, self.data, self.settings)
            means.append(mean + (rest * weight).T)
            variances.append(variance + (rest**2 * weight_variance).T)
            root, whitened = _all_weights(self.basis, self.data, self.settings)
            spread = solve_triangular(root, rest.T, lower=True, check_finite=False)
            means.append((mean + spread.T @ whitened)[None])
            variances.append((variance + np.einsum("ij,ij->j", spread, spread))[None])
        return np.concatenate(means), np.sqrt(np.maximum(np.concatenate(variances), 1e-10))


def _process(known: Array, settings: Settings) -> tuple[float, float]:
    """Return the factor on the variance of the process, and the variance of the constant."""
    return (settings.process_variance, settings.constant_variance) if known.shape[1] else (1.0, 0.0)


def _single_weights(basis: Array, data: Array, settings: Settings) -> tuple[Array, Array]:
    """Return posterior mean and variance of the weight of each function that matters alone."""
    mean, variance = settings.weight_mean, settings.weight_variance
    posterior = 1 / (1 / variance + (basis**2).sum(0))
    return posterior * (basis.T @ data + mean / variance), posterior


def _all_weights(basis: Array, data: Array, settings: Settings) -> tuple[Array, Array]:
    """Return what tells the weights of all functions together.

    Returns:
        The Cholesky factor of their precision, and their mean times that factor's transpose.
    """
    count = basis.shape[1]
    prior = np.eye(count) * count / settings.total_weight_variance
    root = cholesky(prior + basis.T @ basis, lower=True, check_finite=False)
    return root, solve_triangular(root, basis.T @ data, lower=True, check_finite=False)
