"""The kernel of each kind of search space."""

import math

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from scipy.optimize import check_grad
from scipy.stats import multivariate_normal, norm

from actsearch.search.samplers.function_space import gaussian_process
from actsearch.search.samplers.function_space.candidates import draw
from actsearch.search.samplers.function_space.distances import Pairs
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
    data = Pairs.of(process.distances(rows, rows)), rng.standard_normal(12), np.linspace(0, 0.2, 12)
    kernel = process.kernel
    start = process.prior_means + 0.3 * rng.standard_normal(len(kernel.priors))
    error = check_grad(
        lambda θ: kernel.negative_log_posterior(θ, *data)[0],
        lambda θ: kernel.negative_log_posterior(θ, *data)[1],
        start,
    )
    assert error < 1e-4


def matern(squared):
    r = math.sqrt(5 * max(squared, 0.0))
    return (1 + r + r * r / 3) * math.exp(-r)


def written_out(process, θ, one, other):
    """Return the covariance of two configurations, term by term as the formula has them."""
    kernel, encoding = process.kernel, process.encoding
    sites = range(len(encoding.activations))
    values = dict(zip([*kernel.lengths, *kernel.variances], np.exp(θ), strict=False))
    squared, own, average = {}, {}, {}
    for name, *both in zip(VIEWS, *([d.features.views for d in encoding.activations]), strict=True):
        left, right = ([view[int(row[s])] for s, view in enumerate(both)] for row in (one, other))
        own[name] = [float(((a - b) ** 2).sum()) for a, b in zip(left, right, strict=True)]
        average[name] = float(((np.mean(left, 0) - np.mean(right, 0)) ** 2).sum())
        squared[f"{name} of all sites"] = float(np.mean(own[name]))
        squared[f"{name} of average"] = average[name]
    for i, (a, b) in enumerate(zip(one[len(sites) :], other[len(sites) :], strict=True)):
        squared[f"other {i}"] = (a - b) ** 2
    total = sum(
        values[name] * values[f"site {s}"] * matern(d / values[f"{name} of site"] ** 2)
        for name, distances in own.items()
        for s, d in enumerate(distances)
    )
    for term in kernel.terms:
        scaled = sum(squared[d] / values[length] ** 2 for d, length in term.distances)
        total += math.prod(values[name] for name in term.variances) * matern(scaled)
    return total


@pytest.mark.parametrize("most", [1024, 5], ids=["choices tabulated", "sites apart"])
def test_several_sites_are_the_formula_written_out(monkeypatch, most):
    monkeypatch.setattr(gaussian_process, "TABULATED", most)
    pools = [NAMES, NAMES[:6], NAMES, NAMES]
    activations = {f"site{i}": CategoricalDistribution(pool) for i, pool in enumerate(pools)}
    encoding = Encoding.of({**activations, "x": FloatDistribution(0, 1)})
    process, rng = GaussianProcess.of(encoding), np.random.default_rng(0)
    θ = process.prior_means + 0.3 * rng.standard_normal(len(process.kernel.priors))
    rows, data = draw(encoding, 9, rng), draw(encoding, 7, rng)
    covariance = process.kernel(θ, process.distances(rows, data))
    wanted = [[written_out(process, θ, row, datum) for datum in data] for row in rows]
    np.testing.assert_allclose(covariance, wanted, rtol=1e-9)


@pytest.mark.parametrize(("sites", "others"), KINDS)
def test_what_is_fitted_is_the_likelihood_times_the_prior(sites, others):
    rng = np.random.default_rng(2)
    process = GaussianProcess.of(encoding_of(sites, others))
    kernel, rows = process.kernel, draw(process.encoding, 12, rng)
    y, noise = rng.standard_normal(12), np.linspace(0, 0.2, 12)
    distances = process.distances(rows, rows)

    def log_posterior(θ):
        covariance = kernel(θ, distances) + np.diag(np.exp(θ[-1]) + kernel.jitter + noise)
        prior = [norm(p.mean, p.deviation).logpdf(x) for p, x in zip(kernel.priors, θ, strict=True)]
        return multivariate_normal(np.zeros(12), covariance).logpdf(y) + sum(prior)

    first = process.prior_means
    second = first + 0.3 * rng.standard_normal(len(first))
    ours = [
        kernel.negative_log_posterior(θ, Pairs.of(distances), y, noise)[0] for θ in (first, second)
    ]
    assert ours[0] - ours[1] == pytest.approx(
        log_posterior(second) - log_posterior(first), abs=1e-6
    )


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
