"""Claims of the specification's normalizing-flow row, on trained flows."""

import logging
import math

import lightning as L
import pytest
import torch

from actsearch import activation
from tasks._flows import ElementwiseBijection
from tasks.flow import Flow

pytestmark = pytest.mark.claim

FLOWS = {
    "learnable_leaky_relu": {},
    "rational_quadratic_spline": {},
    "tanh_skip": {},
    "coupling": {"architecture": "coupling"},
    "autoregressive": {"architecture": "autoregressive", "univariate": "spline", "depth": 2},
}


@pytest.fixture(scope="module", params=FLOWS)
def trained(request):
    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    L.seed_everything(0, verbose=False)
    options = FLOWS[request.param]
    task = Flow(samples=2000, batch_size=64, hidden=32, **{"depth": 4} | options)
    if request.param in ("rational_quadratic_spline", "tanh_skip"):
        for name, module in task.flow.named_children():
            if name.startswith("bijection"):
                module.activation.activation = activation(request.param)
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = L.Trainer(
        max_epochs=40 if request.param == "tanh_skip" else 15, gradient_clip_val=5.0, accelerator="cpu", **quiet
    )
    trainer.fit(task)
    normal = -0.5 * 2 * (1 + math.log(2 * math.pi))
    assert trainer.callback_metrics["val_log_likelihood"] > normal - 0.05, "it must have learned"
    return task


def layers(task):
    return [(name, task.flow.get_submodule(name)()) for name in task.flow.order]


def slogdet(transform, x):
    x = x.detach().clone().requires_grad_()
    y = transform(x)
    rows = [torch.autograd.grad(y[:, i].sum(), x, retain_graph=True)[0] for i in range(y.shape[1])]
    return torch.linalg.slogdet(torch.stack(rows, 1).double()).logabsdet


@pytest.mark.parametrize("slope", [0.01, 0.1, 0.5, 3.0])
def test_leaky_relus_log_det_counts_the_negatives_exactly(slope):
    x = torch.randn(1000, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    transform = ElementwiseBijection("leaky_relu", negative_slope=slope)()
    log_det = transform.log_abs_det_jacobian(x, transform(x))
    negatives = (x < 0).sum(1)
    torch.testing.assert_close(log_det, negatives.double() * math.log(slope), rtol=1e-14, atol=0)
    assert torch.equal((log_det / math.log(slope)).round().long(), negatives)


def test_log_det_is_that_of_the_jacobian_at_every_layer_and_of_the_whole(trained):
    rows = trained._rows[trained._splits.test[:200]]
    x = rows
    for name, transform in layers(trained):
        y, log_det = transform.call_and_ladj(x)
        error = float((slogdet(transform, x) - log_det).detach().abs().max())
        assert error <= 1e-5, f"{name}: {error:.1e}"
        x = y.detach()
    error = trained.log_det_error(rows)
    assert error <= 1e-5, f"the whole flow: {error:.1e}"


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=str)
def test_inverse_undoes_every_layer_and_the_whole(trained, dtype, tolerance):
    trained.flow.to(dtype)
    try:
        x = rows = trained._rows[trained._splits.test].to(dtype)
        for name, transform in layers(trained):
            with torch.no_grad():
                y = transform(x)
                error = float((transform.inv(y) - x).abs().max())
            assert error <= tolerance, f"{name}: {error:.1e}"
            x = y
        error = trained.round_trip_error(rows)
        assert error <= tolerance, f"the whole flow: {error:.1e}"
    finally:
        trained.flow.float()


@pytest.fixture(scope="module")
def mass(trained):
    """The density's mass in each cell of a grid over [-7, 7]², and the cells' middles."""
    edges = torch.linspace(-7, 7, 401)
    middle = (edges[1:] + edges[:-1]) / 2
    grid = torch.cartesian_prod(middle, middle)
    with torch.no_grad():
        return trained(grid).double().exp() * (14 / 400) ** 2, grid


def test_density_integrates_to_one(mass):
    total = float(mass[0].sum())
    assert abs(total - 1) <= 0.01, f"integral over [-7, 7]²: {total:.4f}"


def test_samples_are_those_of_the_density(trained, mass):
    """Where the density says so many fall, so many fall: the share of samples in each quarter of the plane."""
    torch.manual_seed(0)
    samples = trained.sample(20_000)
    assert samples.isfinite().all()
    for right in (False, True):
        for upper in (False, True):
            inside = ((mass[1][:, 0] > 0) == right) & ((mass[1][:, 1] > 0) == upper)
            expected = float(mass[0][inside].sum())
            share = float((((samples[:, 0] > 0) == right) & ((samples[:, 1] > 0) == upper)).double().mean())
            assert abs(share - expected) <= 0.015, f"right {right}, upper {upper}: {share:.3f}, density {expected:.3f}"
