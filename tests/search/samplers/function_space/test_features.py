"""What an activation is as a function."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from actsearch.search.samplers.function_space.features import compute, features_of, names_activation


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
    assert not names_activation("tanh(x")


def test_threads_that_ask_at_once_get_equal_features():
    choices = tuple(f"mul({i / 10},tanh(x))" for i in range(1, 30))
    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(features_of, [choices] * 8)
    for other in others:
        np.testing.assert_array_equal(first.descriptors, other.descriptors)
