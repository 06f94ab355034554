"""The parts of the sampler: features, the Gaussian process, spaces of parameters, candidates."""

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.optimize import check_grad

from actsearch.search.function_space import proposals
from actsearch.search.function_space.features import compute, features_of, is_activation
from actsearch.search.function_space.gp import fit
from actsearch.search.function_space.space import Dimension, Space
from actsearch.search.function_space.surrogate import Surrogate

NAMES = ("relu", "tanh", "gelu", "sigmoid", "sine", "square", "abs", "identity")


def space(sites=2, **others):
    return Space.of({**{f"site{i}": CategoricalDistribution(NAMES) for i in range(sites)}, **others})


def test_shift_and_scale_change_descriptors_alone():
    plain, moved = compute(["tanh"]), compute(["add(mul(3,tanh(x)),5)"])
    np.testing.assert_allclose(plain.values, moved.values, atol=1e-9)
    np.testing.assert_allclose(plain.slopes, moved.slopes, atol=1e-9)
    assert np.abs(plain.descriptors - moved.descriptors).max() > 0.1


def test_equal_functions_have_equal_features():
    first, second = compute(["silu"]), compute(["mul(x,sigmoid(x))"])
    for a, b in zip(first.views(1), second.views(1), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)


def test_functions_that_are_broken_have_finite_features():
    found = compute(["log(x)", "exp(exp(exp(x)))", "min(-9,x)", "reciprocal(x)"])
    assert all(np.isfinite(view).all() for view in (*found.views(1), *found.views(2)))


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
    rows = proposals.draw(whole, 12, rng)
    data = surrogate.distances(rows, rows), rng.standard_normal(12), np.linspace(0, 0.2, 12)
    kernel = surrogate.kernel
    start = np.array([p.mean for p in kernel.priors]) + 0.3 * rng.standard_normal(len(kernel.priors))
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
    process = fit(surrogate.kernel, surrogate.distances(rows, rows), y - y.mean())
    mean, deviation = process.predict(surrogate.distances(rows, rows))
    np.testing.assert_allclose(mean, y - y.mean(), atol=0.1)
    far = process.predict(surrogate.distances(np.array([[3.0]]), rows))[1]
    assert far[0] > 3 * deviation.max()
    model = surrogate.fitted(rows, y - y.mean(), np.zeros(9), rng)
    believing = model.believing(np.array([[1.5]]))
    assert believing.predict(np.array([[1.5]]))[1] < model.predict(np.array([[1.5]]))[1]


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
    rows = proposals.candidates(whole, best, np.random.default_rng(0))
    every = set(map(tuple, rows))
    assert {(float(i),) * 3 for i in range(len(NAMES))} <= every
    assert {(float(i), 1.0, 2.0) for i in range(len(NAMES))} <= every


def test_a_long_list_is_cut_to_random_ones_and_neighbours():
    choices = [f"tanh(mul({i / 1000},x))" for i in range(1, 6001)]
    whole = Space.of({"activation": CategoricalDistribution(choices)})
    rows = proposals.candidates(whole, np.array([[3000.0]]), np.random.default_rng(0))
    assert len(rows) <= proposals.LONG
    assert {2990.0, 2999.0, 3001.0, 3010.0} <= set(rows[:, 0])


def test_unseen_drops_what_was_tried_and_what_is_there_twice():
    rows = np.array([[0.0, 1.0], [2.0, 3.0], [0.0, 1.0], [4.0, 5.0]])
    assert proposals.unseen(rows, np.array([[2.0, 3.0]])).tolist() == [[0.0, 1.0], [4.0, 5.0]]


def test_log_improvement_is_finite_and_orders_hopeless_candidates():
    found = proposals.log_improvement(np.array([-100.0, -50.0, 0.0, 1.0]), np.full(4, 0.1), 0.0)
    assert np.isfinite(found).all()
    assert (np.diff(found) > 0).all()
