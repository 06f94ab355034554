"""The average over hypotheses, against each of them written out."""

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution
from scipy.stats import multivariate_normal

from actsearch.search.samplers.function_space.encoding import Encoding
from actsearch.search.samplers.function_space.gaussian_process import GaussianProcess
from actsearch.search.samplers.function_space.model_average import ModelAverage
from actsearch.search.samplers.function_space.settings import DEFAULTS, Settings

NAMES = ("relu", "tanh", "gelu", "sigmoid", "sine", "square", "abs", "identity")
OTHER = Settings(
    process_variance=0.9,
    constant_variance=0.1,
    weight_mean=0.3,
    weight_variance=0.5,
    total_weight_variance=2.0,
    all_odds=0.5,
    jitter=1e-5,
)


@pytest.mark.parametrize("settings", [DEFAULTS, OTHER], ids=["default", "other"])
def test_the_average_is_the_processes_of_its_hypotheses(settings):
    rng = np.random.default_rng(0)
    encoding = Encoding.of({"site": CategoricalDistribution(NAMES)})
    process = GaussianProcess.of(encoding, settings)
    kernel, θ = process.kernel, process.prior_means
    rows, points = np.arange(5.0)[:, None], np.arange(8.0)[:, None]
    known, y, noise = rng.standard_normal((8, 3)), rng.standard_normal(5), np.linspace(0, 0.2, 5)
    odds = np.array([1, 2, 5])
    average = ModelAverage.conditioned(
        kernel, θ, process.distances(rows, rows), known[:5], odds, y, noise, settings
    )
    means, deviations = average.predict(process.distances(points, rows), known)
    one, none = np.eye(3), np.zeros(3)
    weights = [none, *settings.weight_mean * one, none]
    variances = [none, *settings.weight_variance * one, none + settings.total_weight_variance / 3]
    log = []
    for mean, deviation, weight, variance in zip(
        means, deviations, weights, variances, strict=True
    ):
        trend = known @ weight
        prior = settings.process_variance * kernel(θ, process.distances(points, points))
        whole = prior + settings.constant_variance + (known * variance) @ known.T
        noisy = whole[:5, :5] + np.diag(noise + np.exp(θ[-1]) + settings.jitter)
        gain = np.linalg.solve(noisy, whole[:5]).T
        np.testing.assert_allclose(mean, trend + gain @ (y - trend[:5]), atol=1e-9)
        np.testing.assert_allclose(
            deviation**2, np.diag(whole) - (gain * whole[:5].T).sum(1), atol=1e-9
        )
        log.append(multivariate_normal(trend[:5], noisy).logpdf(y))
    joint = np.exp(np.array(log) + np.log([1, *odds, settings.all_odds]))
    np.testing.assert_allclose(np.exp(average.log_probability), joint / joint.sum(), atol=1e-9)
