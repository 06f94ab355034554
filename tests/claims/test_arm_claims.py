"""How a joint follows steps by the shape of its one neuron: a motor's angle, 10 V, seed 0."""

import math

import numpy as np
import pytest
import torch

from actsearch import Placement, find_sites
from actsearch.task.laws import build_task
from actsearch_tasks.arm import JointControl
from actsearch_tasks.arm.analysis import overshoot, settling_time

pytestmark = [pytest.mark.claim, pytest.mark.long]

FINE = {"horizon": 1.0, "step": 5e-4}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def driven(name, gain):
    """Return the task with φ by force, and its gain k."""
    task = build_task(JointControl, FINE | {"hold_slope": False})
    if name != "tanh":
        Placement.uniform(name, find_sites(task)).apply(task, force=True)
    with torch.no_grad():
        task.loop.log_gain.fill_(math.log(gain))
    return task


def followed(task, size):
    """Return overshoot in %, settling time and whether it settles."""
    with torch.no_grad():
        error = task.errors(torch.tensor([size], dtype=torch.float64))
    settled = float(settling_time(error, task.times))
    return 100 * float(overshoot(error)), settled, settled < float(task.times[-1])


@pytest.mark.parametrize(
    "name", ["tanh", "clip", "sub(sigmoid(x),0.5)", "erf", "arctan", "softsign", "silu"]
)
def test_poles_of_a_step_of_a_thousandth(name, claim):
    error = driven(name, 1.0).pole_error()
    claim(f"arm, {name}: poles of a step of 1e-3 rad, relative error", f"{error:.1e}", "< 1e-3")
    assert error < 1e-3


def test_saturation_damps_a_large_step(claim):
    found = []
    for k, small, large in ((0.5, 38.9, 17.1), (1.0, 52.1, 17.0), (2.0, 63.3, 16.5)):
        task = driven("tanh", k)
        pair = [followed(task, size)[0] for size in (1e-3, 10.0)]
        found.append(f"{pair[0]:.1f}, {pair[1]:.1f}")
        assert pair == pytest.approx([small, large], abs=0.3)
    claim(
        "arm, tanh, k = 0.5, 1, 2: overshoot of 1e-3 and 10 rad, %",
        "; ".join(found),
        "38.9, 17.1; 52.1, 17.0; 63.3, 16.5",
    )


def test_a_one_sided_activation_never_settles(claim):
    for name, never in (("relu", True), ("leaky_relu:0.1", False)):
        base, _, slope = name.partition(":")
        expression = f"max(x,mul({slope},x))" if slope else base
        runs = [followed(driven(expression, k), 1.0) for k in (0.5, 1.0, 2.0)]
        beyond = [run[0] for run in runs]
        claim(
            f"arm, {name} by force, k = 0.5, 1, 2: overshoot of 1 rad, %; settling, s",
            f"{min(beyond):.0f} to {max(beyond):.0f}; "
            + ", ".join(f"{run[1]:.2f}" if run[2] else "never" for run in runs),
            "never" if never else "settles",
        )
        assert all(run[2] != never for run in runs)
        assert np.min(beyond) > 50
