"""When a damped system comes to rest: the catalogue's bound against simulation."""

import pytest
import torch

import actsearch
from actsearch_tasks.dynamics.system import DampedSystem, equilibria, integrate

pytestmark = [pytest.mark.claim, pytest.mark.long]


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def scalar(activation, damping):
    """Return x' = -λ x + φ(x)."""
    system = DampedSystem(1, 1, damping).double()
    system.field.activation = actsearch.activation(activation)
    with torch.no_grad():
        for linear in (system.inner, system.outer):
            linear.weight.fill_(1.0)
            linear.bias.zero_()
    return system


def ends(system, starts, until, step=0.05):
    times = torch.tensor([[0.0, until]], dtype=torch.float64).expand(len(starts), 2)
    with torch.no_grad():
        return integrate(system, starts, times, round(until / step))[:, -1]


@pytest.mark.parametrize("activation", ["softplus", "relu", "tanh", "sigmoid", "silu", "gelu"])
def test_at_a_damping_of_1_05_of_the_bound_all_starts_meet(activation, claim):
    bound = scalar(activation, 1.0).slope()
    system = scalar(activation, 1.05 * bound)
    starts = torch.linspace(-50, 50, 401, dtype=torch.float64)[:, None]
    x = ends(system, starts, 400.0)
    found = float(x.max() - x.min())
    points, stable = equilibria(system, starts)
    what = f"dynamics, {activation}, λ = 1.05 L = {1.05 * bound:.3f}, 401 starts in [-50, 50]"
    claim(f"{what}: spread after t = 400", f"{found:.1e}", "< 1e-6")
    claim(f"{what}: equilibria", str(len(points)), "1, stable")
    assert found < 1e-6
    assert stable.tolist() == [True]


def test_in_eight_dimensions_solutions_approach_faster_than_the_bound_says(claim):
    fell = []
    for seed in range(3):
        torch.manual_seed(seed)
        system = DampedSystem(8, 8, 1.1).double()
        system.field.activation = actsearch.activation("softplus")
        with torch.no_grad():
            system.inner.weight.copy_(torch.eye(8))
            system.outer.weight.div_(torch.linalg.matrix_norm(system.outer.weight, 2))
        margin = system.margin().item()
        assert margin == pytest.approx(0.1)
        starts = 50 * torch.randn(64, 8, dtype=torch.float64)
        before, after = (float(torch.pdist(x).max()) for x in (starts, ends(system, starts, 60.0)))
        assert after <= before * 2.718281828 ** (-margin * 60)
        fell.append(f"{before:.0f} → {after:.0e}")
    claim(
        "dynamics, 8 dimensions, ‖W‖ = 1, softplus, λ = 1.1, seeds 0–2: spread at 0 and t = 60",
        ", ".join(fell),
        "at most e^-6 of the first",
    )
