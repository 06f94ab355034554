"""What is expected once some configurations were trained."""

import numpy as np
from optuna.distributions import FloatDistribution

from actsearch.search.samplers.function_space.encoding import Encoding
from actsearch.search.samplers.function_space.gaussian_process import GaussianProcess
from actsearch.search.samplers.function_space.posterior import Posterior
from actsearch.search.samplers.function_space.settings import DEFAULTS, Settings
from actsearch.search.samplers.function_space.transfer import SourceTasks

ENCODING = Encoding.of({"x": FloatDistribution(0, 1)})


def fitted(rows, scores, settings=DEFAULTS):
    process = GaussianProcess.of(ENCODING, settings)
    noise, rng = np.zeros(len(rows)), np.random.default_rng(0)
    return Posterior.fitted(process, SourceTasks(ENCODING, []), rows, scores, noise, rng, settings)


def wave(count):
    rows = np.linspace(0, 1, count)[:, None]
    y = np.sin(6 * rows[:, 0])
    return rows, y - y.mean()


def test_it_returns_to_what_it_saw_and_is_sure_there():
    rows, y = wave(9)
    mean, deviation = (posterior := fitted(rows, y)).predict(rows)
    np.testing.assert_allclose(mean, y, atol=0.1)
    assert posterior.predict(np.array([[3.0]]))[1][0] > 3 * deviation.max()


def test_what_is_believed_leaves_the_mean_and_shrinks_the_deviation_not_to_nothing():
    posterior, pending = fitted(*wave(9)), np.array([[1.5]])
    mean, deviation = posterior.predict(pending)
    believed_mean, believed = posterior.kriging_believer(pending).predict(pending)
    np.testing.assert_allclose(believed_mean, mean, atol=1e-6)
    assert 0 < believed[0] < deviation[0]


def test_hyperparameters_are_fitted_to_some_of_many_data_and_all_condition():
    rows, y = wave(60)
    every, some = fitted(rows, y), fitted(rows, y, Settings(fitted_trials=12))
    assert (some.average.θ != every.average.θ).any()
    assert len(some.average.data) == len(rows)
    np.testing.assert_allclose(some.predict(rows)[0], y, atol=0.1)
