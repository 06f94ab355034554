"""Which harmonics a shaper makes, what aliases, and which form is nearest a triode stage's."""

import lightning.pytorch as L
import pytest
import torch

import actsearch
from actsearch import Placement, find_sites
from actsearch.measures.functional.harmonics import harmonic_amplitudes
from actsearch.search.training.target import LEAN_TRAINER
from actsearch_tasks.audio import Waveshaping
from actsearch_tasks.audio.spectrum import alias_level
from actsearch_tasks.data.waves import sine

pytestmark = [pytest.mark.claim, pytest.mark.long]


def decibels(name, parity):
    """The strongest harmonic of a parity, above the first, of sines of amplitudes 1 and 5."""
    phi = actsearch.activation(name)
    x = torch.stack([sine(4096), 5 * sine(4096)])
    with torch.no_grad():
        found = harmonic_amplitudes(phi(x), 64)
    relative = (found[:, 1:] / found[:, :1])[:, parity::2]
    return 20 * relative.max(1).values.clamp_min(1e-18).log10()


def test_odd_forms_make_no_even_harmonics_nor_does_sigmoid(claim):
    names = ("tanh", "arctan", "softsign", "erf", "clip", "sine", "sigmoid")
    worst = max(float(decibels(name, 0).max()) for name in names)
    claim(f"audio, strongest even harmonic of {', '.join(names)}", f"{worst:.0f} dB", "< -80 dB")
    assert worst < -80


def test_half_of_x_plus_an_even_function_makes_no_odd_ones(claim):
    for name in ("silu", "softplus", "relu"):
        odd, even = float(decibels(name, 1).max()), decibels(name, 0)
        second = ", ".join(f"{value:.0f}" for value in even)
        claim(
            f"audio, {name}: strongest odd harmonic above the first; even, amplitudes 1, 5",
            f"{odd:.0f}; {second} dB",
            "< -80, > -20 dB",
        )
        assert odd < -80
        assert even.min() > -20


def test_oversampling_lowers_what_aliases(claim):
    found = {n: float(alias_level(lambda x: (5 * x).clamp(-1, 1), 1.0, n)) for n in (1, 8)}
    text = ", ".join(f"{value:.1f}" for value in found.values())
    claim("audio, 5 kHz clipped, 48 kHz: foreign tones at 1, 8 times", f"{text} dB", "12 dB less")
    assert found[8] < found[1] - 12


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("silu", 0, 1.2), ("arctan", 1.8, 3), ("tanh", 2.5, 3.5), ("softplus", 0, 6), ("elu", 2, 9)],
)
def test_silu_fits_the_valve_best(name, low, high, claim):
    found = []
    for seed in range(4):
        L.seed_everything(seed, verbose=False)
        task = Waveshaping(harmonics=5, oversample=1)
        if name != "tanh":
            Placement.uniform(name, find_sites(task)).apply(task)
        trainer = L.Trainer(**LEAN_TRAINER | {"accelerator": "cpu", "max_epochs": 20})
        trainer.fit(task)
        found.append(float(trainer.callback_metrics["val_spectrum_error"]))
    claim(
        f"audio, 12AX7, harmonics 2 to 5, {name}, best of 4 seeds (worst)",
        f"{min(found):.2f} ({max(found):.2f}) dB",
        f"{low} to {high} dB",
    )
    assert low <= min(found) <= high
