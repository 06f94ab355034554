"""Descent with a shaped gradient, over many steps."""

import pytest
import torch

from actsearch import activation
from actsearch_tasks.data.energies import ENERGIES, descend, rises

pytestmark = [pytest.mark.claim, pytest.mark.long]


def count(name, energy, step, steps, dtype=torch.float64):
    start = 3 * torch.randn(10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    energies = descend(energy, activation(name), start.to(dtype), step, steps)
    return int((rises(energies) > 0).sum())


def test_a_hundred_thousand_steps_with_tanh_never_climb(claim):
    found = [count("tanh", "quadratic", step, 100_000) for step in (1.0, 1.9, 2.0)]
    claim("friction, quadratic, tanh, 100,000 steps of η L = 1, 1.9, 2: rises", str(found), "0")
    assert found == [0, 0, 0]


def test_the_bound_is_sharp(claim):
    for name in ("tanh", "arctan", "softsign", "softshrink", "identity", "clip"):
        within = [count(name, energy, step, 10_000) for energy in ENERGIES for step in (1.0, 2.0)]
        beyond = [count(name, energy, 2.1, 10_000) for energy in ENERGIES]
        claim(f"friction, {name}, 3 energies, 10,000 steps of 1, 2: rises", f"{sum(within)}", "0")
        sharp = name not in ("softsign", "softshrink")
        wanted = "above 50 of one" if sharp else ""
        claim(f"friction, {name}, the same of 2.1", ", ".join(map(str, beyond)), wanted)
        assert sum(within) == 0
        assert not sharp or max(beyond) > 50
