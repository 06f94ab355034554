"""Configurations as rows of numbers."""

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from actsearch.search.samplers.function_space.encoding import Dimension
from actsearch.search.samplers.partial_fixed import allows


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
        assert allows(distribution, dimension.decode(number))
