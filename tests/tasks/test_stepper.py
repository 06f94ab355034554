import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from actsearch import Placement, find_sites
from actsearch.errors import InvalidValueError, UnknownNameError
from actsearch.task import laws
from actsearch_tasks.data.evolutions import evolve, load_evolution
from actsearch_tasks.stepper import Stepper
from actsearch_tasks.stepper.stability import growth, jacobian, radius_and_norm, singular

SMALL = {"runs": 10, "times": 6, "points": 16, "channels": 3, "depth": 1, "batch_size": 3}
VARIANTS = [{}, {"equation": "burgers", "form": "residual", "stability_weight": 1.0}]


class TestStepper(laws.TaskLaws):
    @pytest.fixture
    def task(self):
        return Stepper

    @pytest.fixture
    def small(self):
        return SMALL

    @pytest.fixture(params=VARIANTS, ids=str)
    def variant(self, request):
        return request.param


def build_with(activation, seed=0, **options):
    task = laws.build_task(Stepper, options, seed)
    if activation != "elu":
        Placement.uniform(activation, find_sites(task)).apply(task)
    return task


def judged(task, epochs):
    run = laws.trainer(epochs, limit_val_batches=0)
    run.fit(task)
    (found,) = run.test(task, verbose=False)
    return found


def test_heat_is_exact_and_burgers_is_that_of_an_integrator():
    x = np.arange(64) / 64
    waves = np.sin(2 * np.pi * x)[None] + 0.3 * np.cos(6 * np.pi * x)
    heat = evolve(waves, 3, 0.01, 0.02, 0.0)
    decay = np.exp(-0.01 * (2 * np.pi) ** 2 * 0.04 * np.array([1, 9]))
    expected = decay[0] * np.sin(2 * np.pi * x) + decay[1] * 0.3 * np.cos(6 * np.pi * x)
    np.testing.assert_allclose(heat[0, 2], expected, atol=1e-12)

    def slope(t, u):
        v, k = np.fft.rfft(u), 2j * np.pi * np.arange(33)
        square = np.fft.rfft(u * u) * (np.arange(33) <= 21)
        return np.fft.irfft(-0.5 * k * square + 0.02 * k**2 * v, 64)

    found = evolve(waves, 11, 0.02, 0.01, 1.0)
    oracle = solve_ivp(slope, (0, 0.1), waves[0], rtol=1e-9, atol=1e-10, method="LSODA")
    np.testing.assert_allclose(found[0, -1], oracle.y[:, -1], atol=1e-5)
    np.testing.assert_allclose(found.mean(-1), waves.mean(), atol=1e-12)


def test_fluxes_keep_the_mean_whatever_the_network_is():
    for form, kept in (("flux", True), ("residual", False)):
        task = laws.build_task(Stepper, SMALL | {"form": form}).double()
        with torch.no_grad():
            for p in task.step.body.parameters():
                p.normal_()
            u = task.select("val")[0][:, 0].double() + 3.0
            assert torch.allclose(task(u).mean(1), u.mean(1), atol=1e-12, rtol=0) == kept


def test_radius_and_norm_are_those_of_a_linear_map():
    torch.manual_seed(0)
    matrix = torch.randn(12, 12, dtype=torch.float64)
    mean = torch.full((12, 12), 1 / 12, dtype=torch.float64)
    inner = torch.eye(12, dtype=torch.float64) - mean
    exact = inner @ matrix @ inner
    u = torch.randn(2, 12, dtype=torch.float64)
    torch.testing.assert_close(jacobian(lambda v: v @ matrix.T, u[0]), exact)
    radius, norm = radius_and_norm(lambda v: v @ matrix.T, u)
    largest = torch.linalg.eigvals(exact).abs().max()
    torch.testing.assert_close(radius, largest.expand(2))
    torch.testing.assert_close(norm, torch.linalg.matrix_norm(exact, 2).expand(2))
    iterated = growth(lambda v: v @ matrix.T, u, torch.randn_like(u), 600)
    torch.testing.assert_close(iterated, radius, rtol=0.02, atol=0)
    symmetric = matrix + matrix.T
    top = torch.linalg.matrix_norm(inner @ symmetric @ inner, 2)
    found = singular(lambda v: v @ symmetric, u, torch.randn_like(u))
    torch.testing.assert_close(found, top.expand(2), rtol=0.01, atol=0)


@pytest.mark.long
@pytest.mark.claim
def test_below_a_radius_of_1_at_rest_a_roll_out_ends_there_and_above_it_breaks():
    stable = judged(build_with("elu"), 8)
    assert stable["test_radius_at_rest"] < 0.995
    assert stable["test_last_size"] < 4e-6
    assert stable["test_steps_survived"] == 2000
    assert stable["test_rollout_error"] < 0.05
    without = judged(build_with("elu", noise=0.0, batch_size=4), 4)
    assert without["test_radius_at_rest"] > 1.004
    assert without["test_steps_survived"] < 2000
    assert without["test_last_size"] > 19


def test_the_penalty_lowers_the_radius_where_there_is_no_noise():
    options = {"noise": 0.0, "batch_size": 4, "channels": 6, "depth": 2, "unroll": 1, "runs": 10}
    free, kept = (
        laws.fit(build_with("elu", stability_weight=weight, **options), 3)["val_radius_at_rest"]
        for weight in (0.0, 1000.0)
    )
    assert free > 1.004 > kept


def test_fields_of_ones_own_in_two_dimensions(tmp_path):
    random = np.random.default_rng(0)
    k = 2 * np.pi * np.fft.fftfreq(24, 1 / 24)
    rate = -0.01 * (k[:, None] ** 2 + k**2) - 1j * (0.5 * k[:, None] + 0.2 * k)
    low = (np.abs(k[:, None]) < 20) & (np.abs(k) < 20)
    start = np.fft.fft2(random.normal(size=(12, 24, 24))) * low
    states = [np.fft.ifft2(start * np.exp(rate * 0.02 * n)).real for n in range(8)]
    np.savez(tmp_path / "own.npz", u=280 + np.stack(states, 1))
    own = {"equation": str(tmp_path / "own.npz"), "channels": 6, "depth": 1, "batch_size": 7}
    task = build_with("silu", **own)
    run = laws.trainer(4, limit_val_batches=0)
    run.fit(task)
    run.limit_val_batches = 1.0
    (found,) = run.validate(task, verbose=False)
    assert found["val_one_step_error"] < 0.3
    exact = torch.linalg.eigvals(jacobian(task, task.rest()[0]).detach()).abs().max()
    assert found["val_radius_at_rest"] == pytest.approx(float(exact), rel=0.05)  # iterated
    task.pictures(tmp_path)
    with np.load(tmp_path / "rollout.npz") as file:
        assert file["u"].shape == (3, 8, 24, 24)
        means = file["u"].mean((2, 3))
    np.testing.assert_allclose(means, means[:, :1].repeat(8, 1), atol=1e-3)


U = np.random.default_rng(0).normal(size=(10, 5, 8))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"v": U}, "must hold an array of numbers u, but got v"),
        ({"u": U.astype(str)}, "must hold an array of numbers u, but got u"),
        ({"u": U[0]}, r"must have runs, .* one or two axes, but got shape \(5, 8\)"),
        ({"u": U[:, :2]}, r"at least 3 times, .* but got shape \(10, 2, 8\)"),
        ({"u": U * np.nan}, "must be finite, but got NaN or inf"),
        ({"u": U[:, :1].repeat(5, 1)}, "must change in time, but all states are the first"),
        ({"u": U[:, :, :4]}, "kernel must be odd and at most 4 for these data, but got 5"),
    ],
)
def test_files_that_do_not_fit_get_one_line(tmp_path, arrays, message):
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(InvalidValueError, match=message) as caught:
        Stepper(equation=str(tmp_path / "own.npz"))
    assert "\n" not in str(caught.value)


def test_options_that_do_not_fit_are_refused():
    with pytest.raises(UnknownNameError, match=r"nearest: heat. Or an \.npz file"):
        load_evolution("haet", 10, 3, 16, 0)
    with pytest.raises(InvalidValueError, match=r"kernel must be odd and at most 16 .* got 4"):
        Stepper(**SMALL, kernel=4)
    with pytest.raises(InvalidValueError, match="unroll must be at most 5 for these data"):
        Stepper(**SMALL, unroll=6)
