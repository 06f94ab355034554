"""Certified accuracy by weights and activation: 64-128-128-10 on digits in [0, 1]."""

from statistics import fmean

import pytest
import torch
from sklearn.datasets import load_digits

from actsearch import Placement
from actsearch.measures import Fitted
from actsearch.measures.builtin.certified_accuracy import certified_radii, lipschitz_bound
from actsearch.measures.builtin.robustness import Robustness
from actsearch.task import laws
from actsearch_tasks.classification import Classification

pytestmark = pytest.mark.claim
HIDDEN = [f"network.layer_{i}.activation" for i in (1, 2)]
RADII = (0.1, 0.25, 0.5)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def measured(weights, activation, seed=0):
    """Accuracy, the bound, what is certified at each radius, what an attack leaves of 0.5."""
    options = {"hidden": 128, "depth": 2, "lr": 3e-3, "weights": weights}
    task = laws.build_task(Classification, options, seed)
    if activation != "relu":
        Placement.uniform(activation, HIDDEN).apply(task)
    laws.fit(task, 12)
    task.eval()
    # The model sees standardised pixels.
    unit = 1 / (load_digits().data[task.splits.train] / 16).std()
    fitted, measure = Fitted(task, part="test"), Robustness()
    radii = certified_radii(fitted)
    right = radii > 0
    broken = right & ~measure.survivors(fitted, 0.999 * radii)
    assert not broken.any(), "an attack within the certified radius"
    left = measure.survivors(fitted, torch.full_like(radii, 0.5 * unit))
    shares = [right, *(radii > r * unit for r in RADII), left]
    return [*(float(each.double().mean()) for each in shares), lipschitz_bound(fitted)]


def test_weights_of_norm_1_certify_what_plain_ones_do_not():
    plain, spectral = measured("plain", "relu"), measured("spectral", "relu")
    assert spectral[2] > 0.65
    assert plain[2] < 0.15
    for accuracy, *certified, attacked, _ in (plain, spectral):
        assert accuracy > 0.95
        assert certified[-1] <= attacked


@pytest.mark.long
def test_certified_accuracy_by_weights_and_activation(claim):
    found = {}
    for weights, activations in {
        "plain": ["relu", "tanh"],
        "spectral": ["relu", "tanh", "elu", "abs", "gelu", "silu"],
        "orthogonal": ["relu", "tanh", "abs"],
    }.items():
        for activation in activations:
            runs = [measured(weights, activation, seed) for seed in range(2)]
            means = [fmean(column) for column in zip(*runs, strict=True)]
            found[weights, activation] = means
            claim(
                f"robustness, {weights}, {activation}: accuracy, certified at 0.1, 0.25, 0.5,"
                " attacked at 0.5; bound",
                ", ".join(f"{value:.3f}" for value in means[:-1]) + f"; {means[-1]:.3g}",
                "no attack within its radius succeeds",
            )
            assert means[3] <= means[4]
    at = {key: means[2] for key, means in found.items()}
    assert at["spectral", "relu"] > 0.65
    assert at["plain", "relu"] < 0.15
    assert at["spectral", "abs"] >= at["spectral", "relu"] - 0.02
    assert at["spectral", "gelu"] < at["spectral", "relu"] - 0.1
