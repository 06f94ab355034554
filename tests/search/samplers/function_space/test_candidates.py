"""Which configurations are looked at."""

import numpy as np
from optuna.distributions import CategoricalDistribution

from actsearch.search.samplers.function_space.candidates import candidates, untried
from actsearch.search.samplers.function_space.encoding import Encoding
from actsearch.search.samplers.function_space.settings import DEFAULTS

NAMES = ("relu", "tanh", "gelu", "sigmoid", "sine", "square", "abs", "identity")


def test_candidates_hold_the_uniform_ones_and_the_neighbours_of_the_best():
    whole = Encoding.of({f"site{i}": CategoricalDistribution(NAMES) for i in range(3)})
    best = np.array([[0.0, 1.0, 2.0]])
    rows = candidates(whole, best, np.random.default_rng(0))
    every = set(map(tuple, rows))
    assert {(float(i),) * 3 for i in range(len(NAMES))} <= every
    assert {(float(i), 1.0, 2.0) for i in range(len(NAMES))} <= every


def test_a_long_list_is_cut_to_random_ones_and_neighbours():
    choices = [f"tanh(mul({i / 1000},x))" for i in range(1, 6001)]
    whole = Encoding.of({"activation": CategoricalDistribution(choices)})
    rows = candidates(whole, np.array([[3000.0]]), np.random.default_rng(0))
    assert len(rows) <= DEFAULTS.shortlist
    assert {2990.0, 2999.0, 3001.0, 3010.0} <= set(rows[:, 0])


def test_untried_drops_what_was_tried_and_what_is_there_twice():
    rows = np.array([[0.0, 1.0], [2.0, 3.0], [0.0, 1.0], [4.0, 5.0]])
    assert untried(rows, np.array([[2.0, 3.0]])).tolist() == [[0.0, 1.0], [4.0, 5.0]]
