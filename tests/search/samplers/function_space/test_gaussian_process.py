"""The kernel of each kind of search space."""

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from scipy.optimize import check_grad

from actsearch.search.samplers.function_space.candidates import draw
from actsearch.search.samplers.function_space.encoding import Encoding
from actsearch.search.samplers.function_space.gaussian_process import VIEWS, GaussianProcess

NAMES = ("relu", "tanh", "gelu", "sigmoid", "sine", "square", "abs", "identity")


def encoding_of(sites, others):
    activations = {f"site{i}": CategoricalDistribution(NAMES) for i in range(sites)}
    numbers = {f"x{i}": FloatDistribution(0, 1) for i in range(others)}
    return Encoding.of({**activations, **numbers})


KINDS = [(0, 2), (1, 0), (1, 2), (3, 0), (3, 2)]


@pytest.mark.parametrize(("sites", "others"), KINDS)
def test_the_gradient_of_the_marginal_likelihood(sites, others):
    rng = np.random.default_rng(0)
    process = GaussianProcess.of(encoding_of(sites, others))
    rows = draw(process.encoding, 12, rng)
    data = process.distances(rows, rows), rng.standard_normal(12), np.linspace(0, 0.2, 12)
    kernel = process.kernel
    start = process.prior_means + 0.3 * rng.standard_normal(len(kernel.priors))
    error = check_grad(
        lambda θ: kernel.negative_log_posterior(θ, *data)[0],
        lambda θ: kernel.negative_log_posterior(θ, *data)[1],
        start,
    )
    assert error < 1e-4


@pytest.mark.parametrize(("sites", "others"), KINDS)
def test_the_covariance_is_positive_and_the_same_both_ways(sites, others):
    process = GaussianProcess.of(encoding_of(sites, others))
    rows = draw(process.encoding, 20, np.random.default_rng(1))
    covariance = process.kernel(process.prior_means, process.distances(rows, rows))
    np.testing.assert_allclose(covariance, covariance.T, atol=1e-9)
    assert np.linalg.eigvalsh(covariance).min() > -1e-6
    diagonal = np.diag(covariance)
    np.testing.assert_allclose(diagonal, process.kernel.amplitude(process.prior_means), atol=1e-4)


def test_sites_share_their_length_scales_and_add_little_each():
    process = GaussianProcess.of(encoding_of(3, 0))
    assert len(process.kernel.lengths) == 3 * len(VIEWS)  # each site, all together, their average
    one, two = process.encoding.encode({f"site{i}": "relu" for i in range(3)}), np.zeros(3)
    two[0] = NAMES.index("tanh")
    near, far = (
        process.kernel(process.prior_means, process.distances(one[None], row[None]))[0, 0]
        for row in (two, np.full(3, two[0]))
    )
    assert process.kernel.amplitude(process.prior_means) > near > far
