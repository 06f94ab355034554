"""Smoothness on real digits: one training each of 64-128-128-10, 12 segments between images."""

import pytest
import torch

from actsearch import Placement, find_sites
from actsearch.measures import Fitted, build
from actsearch.task import laws
from actsearch_tasks.classification import Classification

pytestmark = pytest.mark.claim

LEAKY = {"activation": "leaky_relu", "parameters": {"negative_slope": 0.1}}


def ratios(activation, epochs):
    """Return what is left of the largest jump, up to the first and the second derivative."""
    torch.set_num_threads(1)
    task = laws.build_task(Classification, {"hidden": 128, "depth": 2})
    if activation != "relu":
        Placement.uniform(activation, find_sites(task)).apply(task)
    laws.fit(task, epochs)
    task.setup("test")
    fitted = Fitted(task, part="test")
    name = "smoothness_on_segments"
    return [build(name, {"order": order}).values(fitted)[name] for order in (1, 2)]


def compare(claim, name, found, smooth):
    wanted = ["> 0.9" if smooth < order else "< 0.15" for order in (1, 2)]
    claim(
        f"smoothness, {name}: ratio of jumps up to the first, second derivative",
        ", ".join(f"{ratio:.4f}" for ratio in found),
        ", ".join(wanted),
    )
    for order, ratio in enumerate(found, start=1):
        assert ratio > 0.9 if smooth < order else ratio < 0.15


@pytest.mark.parametrize(("activation", "smooth"), [("relu", 0), ("elu", 1), ("gelu", 3)])
def test_kinks_are_told_from_jumps_of_the_curvature_and_both_from_none(activation, smooth, claim):
    compare(claim, f"{activation}, 2 epochs", ratios(activation, 2), smooth)


@pytest.mark.long
@pytest.mark.parametrize(
    ("activation", "smooth"),
    [("relu", 0), (LEAKY, 0), ("elu", 1), ("tanh", 3), ("gelu", 3), ("silu", 3)],
)
def test_after_training(activation, smooth, claim):
    name = activation if isinstance(activation, str) else "leaky 0.1"
    compare(claim, name, ratios(activation, 20), smooth)
