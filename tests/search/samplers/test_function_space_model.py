"""The parts of the sampler: features, the Gaussian process, spaces of parameters, candidates."""

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.optimize import check_grad
from scipy.stats import multivariate_normal

from actsearch.search.samplers.function_space import candidates
from actsearch.search.samplers.function_space.acquisition import (
    ScalarisedImprovement,
    log_improvement,
)
from actsearch.search.samplers.function_space.encoding import Dimension, Space
from actsearch.search.samplers.function_space.features import compute, features_of, is_activation
from actsearch.search.samplers.function_space.gaussian_process import Surrogate
from actsearch.search.samplers.function_space.model_average import (
    ALL,
    DOUBT,
    LEVEL,
    SHARE,
    TOTAL,
    WEIGHT,
    Mixture,
)
from actsearch.search.samplers.function_space.transfer import Experience

NAMES = ("relu", "tanh", "gelu", "sigmoid", "sine", "square", "abs", "identity")


def space(sites=2, **others):
    return Space.of(
        {**{f"site{i}": CategoricalDistribution(NAMES) for i in range(sites)}, **others}
    )


def test_shift_and_scale_change_descriptors_alone():
    plain, moved = compute(["tanh"]), compute(["add(mul(3,tanh(x)),5)"])
    np.testing.assert_allclose(plain.values, moved.values, atol=1e-9)
    np.testing.assert_allclose(plain.slopes, moved.slopes, atol=1e-9)
    assert np.abs(plain.descriptors - moved.descriptors).max() > 0.1


def test_equal_functions_have_equal_features():
    first, second = compute(["silu"]), compute(["mul(x,sigmoid(x))"])
    for a, b in zip(first.views, second.views, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)


def test_functions_that_are_broken_have_finite_features():
    found = compute(["log(x)", "exp(exp(exp(x)))", "min(-9,x)", "reciprocal(x)"])
    assert all(np.isfinite(view).all() for view in found.views)


def test_learnable_activations_have_features():
    assert len(compute(["prelu", "swish", "mul(a,x)"])) == 3


def test_choices_that_are_not_all_activations_have_none():
    assert features_of(("relu", "adam")) is None
    assert features_of(("relu", 3)) is None
    assert features_of(("relu", "tanh(x)")) is features_of(("relu", "tanh(x)"))
    assert not is_activation("tanh(x")


@pytest.mark.parametrize("sites", [0, 1, 3])
@pytest.mark.parametrize("others", [0, 2])
def test_the_gradient_of_the_marginal_likelihood(sites, others):
    if sites + others == 0:
        return
    rng = np.random.default_rng(0)
    whole = space(sites, **{f"x{i}": FloatDistribution(0, 1) for i in range(others)})
    surrogate = Surrogate.of(whole)
    rows = candidates.draw(whole, 12, rng)
    data = surrogate.distances(rows, rows), rng.standard_normal(12), np.linspace(0, 0.2, 12)
    kernel = surrogate.kernel
    start = np.array([p.mean for p in kernel.priors]) + 0.3 * rng.standard_normal(
        len(kernel.priors)
    )
    error = check_grad(
        lambda θ: kernel.negative_log_posterior(θ, *data)[0],
        lambda θ: kernel.negative_log_posterior(θ, *data)[1],
        start,
    )
    assert error < 1e-4


def test_the_process_returns_to_what_it_saw_and_is_sure_there():
    rng = np.random.default_rng(0)
    whole = space(0, x=FloatDistribution(0, 1))
    surrogate = Surrogate.of(whole)
    rows = np.linspace(0, 1, 9)[:, None]
    y = np.sin(6 * rows[:, 0])
    model = surrogate.fitted(rows, y - y.mean(), np.zeros(9), rng, Experience(whole, []))
    mean, deviation = model.predict(rows)
    np.testing.assert_allclose(mean, y - y.mean(), atol=0.1)
    assert model.predict(np.array([[3.0]]))[1][0] > 3 * deviation.max()
    believing = model.believing(np.array([[1.5]]))
    assert believing.predict(np.array([[1.5]]))[1] < model.predict(np.array([[1.5]]))[1]


def test_the_mixture_is_the_processes_of_its_hypotheses():
    rng = np.random.default_rng(0)
    surrogate = Surrogate.of(space(1))
    kernel, θ = surrogate.kernel, np.array([p.mean for p in surrogate.kernel.priors])
    rows, points = np.arange(5.0)[:, None], np.arange(8.0)[:, None]
    known, y, doubt = rng.standard_normal((8, 3)), rng.standard_normal(5), np.linspace(0, 0.2, 5)
    mixture = Mixture.of(
        kernel, θ, surrogate.distances(rows, rows), known[:5], np.array([1, 2, 5]), y, doubt
    )
    means, deviations = mixture.predict(surrogate.distances(points, rows), known)
    single = np.eye(3)
    weights = [np.zeros(3), *WEIGHT * single, np.zeros(3)]
    doubts = [np.zeros(3), *DOUBT * single, np.full(3, TOTAL / 3)]
    log = []
    for mean, deviation, weight, variances in zip(means, deviations, weights, doubts, strict=True):
        trend = known @ weight
        whole = (
            SHARE * kernel(θ, surrogate.distances(points, points))
            + LEVEL
            + (known * variances) @ known.T
        )
        noisy = whole[:5, :5] + np.diag(doubt + np.exp(θ[-1]) + 1e-6)
        gain = np.linalg.solve(noisy, whole[:5]).T
        np.testing.assert_allclose(mean, trend + gain @ (y - trend[:5]), atol=1e-9)
        np.testing.assert_allclose(
            deviation**2, np.diag(whole) - (gain * whole[:5].T).sum(1), atol=1e-9
        )
        log.append(multivariate_normal(trend[:5], noisy).logpdf(y))
    log = np.array(log) + np.log([1, 1, 2, 5, ALL])
    np.testing.assert_allclose(np.exp(mixture.evidence), np.exp(log) / np.exp(log).sum(), atol=1e-9)


@pytest.mark.parametrize(
    ("distribution", "values"),
    [
        (FloatDistribution(-2, 3), [-2.0, 0.5, 3.0]),
        (FloatDistribution(1e-5, 1e-1, log=True), [1e-5, 1e-3, 1e-1]),
        (FloatDistribution(0, 1, step=0.25), [0.0, 0.25, 1.0]),
        (IntDistribution(1, 9), [1, 5, 9]),
        (IntDistribution(1, 100, log=True), [1, 10, 100]),
        (IntDistribution(2, 10, step=4), [2, 6, 10]),
        (CategoricalDistribution(["a", None, 3]), ["a", None, 3]),
    ],
)
def test_values_survive_encoding(distribution, values):
    dimension = Dimension("x", distribution)
    for value in values:
        decoded = dimension.decode(dimension.encode(value))
        assert decoded == pytest.approx(value) if isinstance(value, float) else decoded == value
    for number in dimension.draw(50, np.random.default_rng(0)):
        assert distribution._contains(distribution.to_internal_repr(dimension.decode(number)))


def test_candidates_hold_the_uniform_ones_and_the_neighbours_of_the_best():
    whole = space(3)
    best = np.array([[0.0, 1.0, 2.0]])
    rows = candidates.candidates(whole, best, np.random.default_rng(0))
    every = set(map(tuple, rows))
    assert {(float(i),) * 3 for i in range(len(NAMES))} <= every
    assert {(float(i), 1.0, 2.0) for i in range(len(NAMES))} <= every


def test_a_long_list_is_cut_to_random_ones_and_neighbours():
    choices = [f"tanh(mul({i / 1000},x))" for i in range(1, 6001)]
    whole = Space.of({"activation": CategoricalDistribution(choices)})
    rows = candidates.candidates(whole, np.array([[3000.0]]), np.random.default_rng(0))
    assert len(rows) <= candidates.LONG
    assert {2990.0, 2999.0, 3001.0, 3010.0} <= set(rows[:, 0])


def test_unseen_drops_what_was_tried_and_what_is_there_twice():
    rows = np.array([[0.0, 1.0], [2.0, 3.0], [0.0, 1.0], [4.0, 5.0]])
    assert candidates.unseen(rows, np.array([[2.0, 3.0]])).tolist() == [[0.0, 1.0], [4.0, 5.0]]


def test_log_improvement_is_finite_and_orders_hopeless_candidates():
    found = log_improvement(np.array([-100.0, -50.0, 0.0, 1.0]), np.full(4, 0.1), 0.0)
    assert np.isfinite(found).all()
    assert (np.diff(found) > 0).all()


@pytest.mark.parametrize("weights", [[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]])
def test_what_is_better_in_everything_is_worth_more_whatever_the_weights(weights):
    found = ScalarisedImprovement((), np.array(weights), np.zeros((1, 2))).scalarised(
        np.array([[1, 0.5], [0.9, 0.4], [-1, -1]])
    )
    assert found[0] > found[1] > found[2]


def test_the_weights_decide_between_configurations_of_a_front():
    front = np.array([[1.0, -1.0], [-1.0, 1.0]])
    first, second = (
        ScalarisedImprovement((), np.array(weights), np.zeros((1, 2))).scalarised(front)
        for weights in ([0.3, 0.7], [0.7, 0.3])
    )
    assert (first[0] - first[1]) * (second[0] - second[1]) < 0
