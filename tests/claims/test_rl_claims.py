"""Claims of the reinforcement learning row: the squashed density, and learning Pendulum."""

import logging
import math

import lightning as L
import pytest
import torch

import actsearch
from actsearch.search.space.search_space import SearchSpace
from actsearch_tasks.rl import ContinuousControl
from actsearch_tasks.rl.networks import Actor

pytest.importorskip("gymnasium")
pytestmark = [
    pytest.mark.claim,
    # What stands there is placed too.
    pytest.mark.filterwarnings("ignore:nothing of:actsearch.errors.ActsearchWarning"),
]

SQUASHERS = (*SearchSpace.load("squashers").sites["*squash"].activations, "arctan", "sigmoid")


@pytest.fixture(autouse=True)
def _one_thread():
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)


def policy(squasher, **parameters):
    torch.manual_seed(0)
    actor = Actor(3, 1, 8, 1).double()
    entry = {"activation": squasher, "parameters": parameters}
    return actsearch.Placement.uniform(entry, ["squash"]).apply(actor)


CASES = [*((name, {}) for name in SQUASHERS), ("isru", {"alpha": 0.3}), ("isru", {"alpha": 3.0})]


@pytest.mark.parametrize(("squasher", "parameters"), CASES, ids=str)
@pytest.mark.parametrize(("mean", "log_std"), [(0.0, 0.0), (1.5, 0.5), (-2.0, -1.0)])
def test_the_density_of_squashed_actions_integrates_to_1_over_the_action_space(
    squasher, parameters, mean, log_std
):
    actor = policy(squasher, **parameters)
    # Over u the grid follows the action by its own spacing: Σ π(y) Δy, y in (-1, 1), with no
    # inverse and no derivative.
    u = torch.linspace(
        mean - 12 * math.exp(log_std), mean + 12 * math.exp(log_std), 400_001, dtype=torch.float64
    )
    y = actor.action(u)
    assert y.min() >= -1
    assert y.max() <= 1
    at = torch.tensor([[mean]], dtype=torch.float64), torch.tensor([[log_std]], dtype=torch.float64)
    density = actor.log_density(u[:, None], *at).exp()
    # Where float64 has no room left between y and ±1, what lies beyond is counted exactly in u.
    inside = (1 - y.abs()) > 1e-9
    total = float(torch.trapezoid(density[inside], y[inside]))
    normal = torch.distributions.Normal(mean, math.exp(log_std))
    beyond = 1 - float(normal.cdf(u[inside].max()) - normal.cdf(u[inside].min()))
    assert total + beyond == pytest.approx(1, abs=1e-5)
    assert total > 0.9


@pytest.mark.parametrize(("squasher", "parameters"), CASES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_density_and_its_gradient_are_finite_where_the_squash_has_saturated(
    squasher, parameters, dtype
):
    actor = policy(squasher, **parameters).to(dtype)
    u = torch.tensor([[-20.0], [20.0]], dtype=dtype, requires_grad=True)
    zero = torch.zeros(1, 1, dtype=dtype)
    density = actor.log_density(u, zero, zero)
    (gradient,) = torch.autograd.grad(density.sum(), u)
    assert density.isfinite().all(), density
    assert gradient.isfinite().all(), gradient
    assert (actor.action(u).abs() <= 1).all()


def test_the_correction_of_tanh_is_the_stable_formula():
    actor = policy("tanh")
    u = torch.linspace(-20, 20, 401, dtype=torch.float64)[:, None]
    zero = torch.zeros(1, 1, dtype=torch.float64)
    correction = actor.log_density(u, zero, zero, correction=False) - actor.log_density(
        u, zero, zero
    )
    x = u[:, 0]
    softplus = torch.logaddexp(-2 * x, torch.zeros_like(x))  # torch's own drops e^-20 beyond 20
    expected = 2 * (math.log(2) - x - softplus)
    torch.testing.assert_close(correction, expected, rtol=1e-12, atol=1e-12)
    moderate = x.abs() < 5
    naive = torch.log(1 - torch.tanh(x[moderate]) ** 2)
    torch.testing.assert_close(correction[moderate], naive, rtol=1e-9, atol=1e-9)


def learn(seed, epochs, **options):
    L.seed_everything(seed, verbose=False)
    task = ContinuousControl(**options)
    run = L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    run.fit(task)
    (test,) = run.test(task, verbose=False)
    return task, test


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(3))
def test_soft_actor_critic_learns_pendulum_within_15000_steps(seed, claim):
    task, metrics = learn(seed, ContinuousControl.trainer_defaults["max_epochs"])
    curve = [round(sum(returns) / len(returns)) for _, returns in task.history]
    claim(
        f"rl sac, Pendulum, 15,000 steps, seed {seed}: return",
        f"{metrics['test_return']:.1f}",
        "> -200",
    )
    assert task.history[-1][0] == 15_000
    assert metrics["test_valid_actions"] == 1
    assert metrics["test_return"] > -200, curve


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_proximal_policy_optimisation_learns_pendulum_within_41000_steps(claim):
    options = {
        "algorithm": "ppo",
        "envs": 4,
        "epoch_steps": 2048,
        "batch_size": 64,
        "discount": 0.9,
    }
    task, metrics = learn(0, 20, **options)
    curve = [round(sum(returns) / len(returns)) for _, returns in task.history]
    claim("rl ppo, Pendulum, 40,960 steps: return", f"{metrics['test_return']:.1f}", "> -200")
    assert metrics["test_return"] > -200, curve
