"""Which activation solves the heat equation and Navier's and Cauchy's; relative L2 errors."""

import lightning.pytorch as L
import pytest

from actsearch import Placement, find_sites
from actsearch.search.training.target import LEAN_TRAINER
from actsearch_tasks.pinn import PhysicsInformed

pytestmark = [pytest.mark.claim, pytest.mark.long]

PLATE = {
    "problem": "elasticity",
    "hidden": 24,
    "depth": 3,
    "boundary": 160,
    "boundary_weight": 100.0,
}


def solved(name, seed, epochs=12, **options):
    L.seed_everything(seed, verbose=False)
    task = PhysicsInformed(split_seed=seed, **options)
    if name != "tanh":
        Placement.uniform(name, find_sites(task)).apply(task, force=True)
    trainer = L.Trainer(
        **LEAN_TRAINER | {"accelerator": "cpu", "max_epochs": epochs, "limit_val_batches": 0}
    )
    trainer.fit(task)
    (found,) = trainer.test(task, verbose=False)
    return found["test_error"], found["test_second"]


def text(errors):
    return ", ".join(f"{error:.2g}" for error in errors)


def test_tanh_solves_the_heat_equation(claim):
    errors = [solved("tanh", seed)[0] for seed in range(5)]
    claim("pinn, heat, tanh, 200 steps of Adam, 200 of L-BFGS", text(errors), "each < 5e-3")
    assert max(errors) < 5e-3


@pytest.mark.parametrize("name", ["silu", "sine", "softplus"])
def test_other_smooth_ones_solve_it_too(name, claim):
    errors = [solved(name, seed)[0] for seed in range(3)]
    claim(f"pinn, heat, {name}", text(errors), "each < 1e-2")
    assert max(errors) < 1e-2


def test_elu_whose_second_derivative_jumps_is_between(claim):
    errors = [solved("elu", seed)[0] for seed in range(3)]
    claim("pinn, heat, elu, forced", text(errors), "each > 1e-2 and < 0.5")
    assert min(errors) > 1e-2
    assert max(errors) < 0.5


def test_relu_has_no_second_derivative(claim):
    errors, second = zip(*(solved("relu", seed) for seed in range(3)), strict=True)
    what = f"{text(errors)}; {max(second):g}"
    claim("pinn, heat, relu, forced; mean size of second derivatives", what, "each > 0.1; 0")
    assert min(errors) > 0.1
    assert not any(second)


def test_adam_alone_is_far_from_it(claim):
    errors = [solved("tanh", seed, epochs=10)[0] for seed in range(3)]
    claim("pinn, heat, tanh, the 200 steps of Adam alone", text(errors), "each > 0.05")
    assert min(errors) > 0.05


def test_tanh_solves_the_plate(claim):
    errors = [solved("tanh", seed, epochs=20, **PLATE)[0] for seed in (0, 2)]
    claim("pinn, elasticity, tanh, β = 100, 1,000 of L-BFGS", text(errors), "each < 1e-2")
    assert max(errors) < 1e-2


def test_relu_does_not_solve_the_plate(claim):
    error, second = solved("relu", 0, **PLATE)
    claim("pinn, elasticity, relu, forced", f"{error:.2g}; {second:g}", "> 0.1; 0")
    assert error > 0.1
    assert second == 0
