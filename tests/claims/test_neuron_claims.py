"""A neuron's harmonics by formula, and what a fit to its spike counts finds: 20 seeds."""

import lightning.pytorch as L
import numpy as np
import pytest
import torch

from actsearch import Placement, find_sites
from actsearch.measures.functional.harmonics import harmonic_amplitudes
from actsearch.search.training.target import LEAN_TRAINER
from actsearch_tasks.data.spikes import LeakyNeuron
from actsearch_tasks.data.waves import sine
from actsearch_tasks.neuron import RateNeuron

pytestmark = [pytest.mark.claim, pytest.mark.long]

COUNTS = {"r0": 20.0, "gain": 4.0, "slope": 0.3, "samples": 20, "periods": 10, "trials": 50}
"""10 s in bins of 50 ms, as often."""

LEARNED = {"activation": "learnable_leaky_relu", "learn": ["negative_slope"]}


def test_harmonics_are_those_of_the_formula(claim):
    for samples, bound in ((1024, 2e-5), (256, 1e-3)):
        worst = {"mean": 0.0, "fundamental": 0.0, "even": 0.0, "odd": 0.0}
        for slope in (0.0, 0.1, 0.3, 1.0):
            neuron = LeakyNeuron(5.0, 2.0, 3.0, slope)
            rate = neuron.rate(sine(samples, 3.0))
            found = torch.cat([rate.mean()[None], harmonic_amplitudes(rate, 8)])
            wanted = torch.tensor(neuron.amplitudes(8), dtype=torch.float64)
            error = (found - wanted).abs()
            parts = (error[0], error[1], error[2::2].max(), error[3::2].max())
            for name, value in zip(worst, parts, strict=True):
                worst[name] = max(worst[name], float(value))
        text = ", ".join(f"{name} {value:.1g}" for name, value in worst.items())
        claim(f"neuron, {samples} samples a period, errors of", text, f"each < {bound:g}")
        assert max(worst.values()) < bound


def test_a_fit_to_counts_finds_the_neuron(claim):
    found = []
    for seed in range(20):
        L.seed_everything(seed, verbose=False)
        task = RateNeuron(**COUNTS, noise_seed=seed, validation_share=0.01, test_share=0.01)
        Placement.uniform(LEARNED, find_sites(task)).apply(task)
        trainer = L.Trainer(**LEAN_TRAINER | {"accelerator": "cpu", "max_epochs": 20})
        trainer.fit(task)
        values = task.neuron()
        found.append([float(values[name]) for name in ("r0", "gain", "alpha")])
    mean, deviation = np.mean(found, 0), np.std(found, 0, ddof=1)
    text = ", ".join(f"{m:.3g} ± {s:.2g}" for m, s in zip(mean, deviation, strict=True))
    claim(
        "neuron, 50 trials of 10 s, 20 seeds: r0, gain, alpha", text, "20, 4, 0.3 within 5, 5, 15 %"
    )
    assert mean == pytest.approx([20, 4, 0.3], rel=0.15)
    assert mean[:2] == pytest.approx([20, 4], rel=0.05)
