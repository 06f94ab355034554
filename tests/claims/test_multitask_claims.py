"""Gradients of three heads on one trunk: what an activation changes, in eight paired seeds."""

from functools import cache
from statistics import fmean, stdev

import lightning.pytorch as L
import pytest

from actsearch import Placement, find_sites
from actsearch.search.training.target import LEAN_TRAINER
from actsearch_tasks.multitask import MultiTask

pytestmark = [pytest.mark.claim, pytest.mark.long]

SEEDS = 8


def leaky(slope):
    return {"activation": "leaky_relu", "parameters": {"negative_slope": slope}}


def clipped(ceiling):
    return {"activation": "clipped_relu", "parameters": {"ceiling": ceiling}}


ACTIVATIONS = {
    "relu": "relu",
    "leaky 0.1": leaky(0.1),
    "leaky 0.3": leaky(0.3),
    "clipped at 1": clipped(1),
    "clipped at 6": clipped(6),
    "tanh": "tanh",
    "gelu": "gelu",
    "silu": "silu",
    "identity": "identity",
}


@cache
def logged(name):
    """What is logged at the end, by seed."""
    found = []
    for seed in range(SEEDS):
        L.seed_everything(seed, verbose=False)
        task = MultiTask()
        if name != "relu":
            Placement.uniform(ACTIVATIONS[name], find_sites(task)).apply(task)
        trainer = L.Trainer(**LEAN_TRAINER | {"accelerator": "cpu", "max_epochs": 10})
        trainer.fit(task)
        found.append({key: float(value) for key, value in trainer.callback_metrics.items()})
    return found


def differences(name, key):
    return [a[key] - b[key] for a, b in zip(logged(name), logged("relu"), strict=True)]


def t(values):
    return fmean(values) / (stdev(values) / len(values) ** 0.5)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_what_each_activation_has(name, claim):
    mean = {key: fmean(found[key] for found in logged(name)) for key in logged(name)[0]}
    keys = ("cosine/class-parity", "cosine/class-ink", "cosine/parity-ink", "conflict/class-ink")
    text = ", ".join(f"{mean[key]:+.3f}" for key in keys)
    claim(f"multitask, {name}, 8 seeds: cosine class-parity, class-ink, parity-ink; conflict", text)
    assert mean["val_accuracy/class"] > 0.9
    if name != "relu":
        parity = differences(name, keys[0])
        claim(
            f"multitask, {name}: class-parity against relu, paired (t)",
            f"{fmean(parity):+.3f} ({t(parity):.1f})",
        )


def test_a_clip_that_binds_changes_the_cosine(claim):
    ink = differences("clipped at 1", "cosine/class-ink")
    below = sum(value < 0 for value in ink)
    claim(
        "multitask, clipped at 1: class-ink against relu, paired (t), seeds below",
        f"{fmean(ink):+.3f} ({t(ink):.1f}), {below} of {SEEDS}",
        "beyond 0.015, 7 of 8 of one sign",
    )
    assert abs(fmean(ink)) > 0.015
    assert max(below, SEEDS - below) >= 7


def test_leaky_relu_changes_it_too(claim):
    parity = differences("leaky 0.1", "cosine/class-parity")
    claim(
        "multitask, leaky 0.1: class-parity against relu, paired (t)",
        f"{fmean(parity):+.4f} ({t(parity):.1f})",
        "t beyond ±2.36, p < 0.05",
    )
    assert abs(t(parity)) > 2.36
