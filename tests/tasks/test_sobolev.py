import math
from itertools import pairwise

import numpy as np
import pytest
import torch

import actsearch
from actsearch import Placement
from actsearch.errors import InvalidValueError, RequirementError, UnknownNameError
from actsearch.measures import Fitted, build
from actsearch.task import laws
from actsearch_tasks.data.functions import load_function
from actsearch_tasks.sobolev import Sobolev

SMALL = {"points": 60, "hidden": 8, "batch_size": 12}
VARIANTS = [{}, {"order": 0, "depth": 1}, {"order": 1, "target": "runge"}, {"target": "franke"}]


class TestSobolev(laws.TaskLaws):
    @pytest.fixture
    def task(self):
        return Sobolev

    @pytest.fixture
    def small(self):
        return SMALL

    @pytest.fixture(params=VARIANTS, ids=str)
    def variant(self, request):
        return request.param


def build_with(activation, **options):
    task = laws.build_task(Sobolev, options)
    sites = actsearch.find_sites(task, task.example_input_array)
    if activation != "tanh":
        Placement.uniform(activation, sites).apply(task, force=True)
    return task


def fitted(activation, epochs=15, **options):
    task = build_with(activation, **options)
    run = laws.trainer(epochs, gradient_clip_val=task.trainer_defaults["gradient_clip_val"])
    run.fit(task)
    return task, {name: float(value) for name, value in run.callback_metrics.items()}


@pytest.mark.parametrize("target", ["wave", "runge", "franke"])
def test_the_derivatives_of_a_target_are_those_of_finite_differences(target):
    x, *wanted = load_function(target, 2500)
    side = round(len(x) ** (1 / x.shape[1]))
    step = float(x[1, -1] - x[0, -1])
    for lower, higher in pairwise(wanted):
        grid = lower.reshape(*[side] * x.shape[1], -1)
        along = torch.gradient(grid, spacing=step, dim=tuple(range(x.shape[1])))
        found = torch.stack(along, -1).reshape(higher.shape)
        assert float((found - higher).square().mean() / higher.square().mean()) < 0.02


@pytest.mark.claim
def test_a_smooth_network_learns_the_second_derivative_and_relu_has_none():
    task, smooth = fitted("tanh")
    assert max(smooth[f"val_error/{order}"] for order in ("value", "first", "second")) < 0.1
    assert smooth["val_error"] == max(v for k, v in smooth.items() if k.startswith("val_error/"))
    task, kinked = fitted("relu")
    x, *_ = task.select("val")
    assert not task.fitted(x, 2)[2].any()
    assert kinked["val_error/second"] == 1
    assert kinked["val_error/value"] < kinked["val_error/first"] < 1


def test_the_loss_sees_the_orders_asked_for_each_in_its_own_scale():
    for order in range(3):
        task = laws.build_task(Sobolev, SMALL | {"order": order})
        batch = task.select("train")
        with torch.no_grad():
            task.network.head.weight.zero_()
            task.network.head.bias.zero_()
        # A constant, the mean, leaves the variance of the value and all of each derivative.
        y = batch[1]
        expected = float((y - y.mean()).square().mean() / y.square().mean()) + order
        assert float(task.loss(batch).detach()) == pytest.approx(expected, rel=0.02)


def test_sites_refuse_what_is_not_smooth_enough_unless_forced():
    for order, names in ((2, ["elu", "relu"]), (1, ["relu"])):
        task = laws.build_task(Sobolev, SMALL | {"order": order})
        sites = actsearch.find_sites(task)
        for name in names:
            with pytest.raises(RequirementError, match=rf"smoothness >= {order}"):
                Placement.uniform(name, sites).apply(task)
    task = laws.build_task(Sobolev, SMALL | {"order": 1})
    Placement.uniform("elu", actsearch.find_sites(task)).apply(task)
    assert math.isfinite(laws.fit(build_with("relu", **SMALL))["val_error"])


def test_data_of_ones_own_need_no_second_derivative(tmp_path):
    x = np.random.default_rng(0).uniform(50, 150, (80, 2))
    y = x[:, 0] * x[:, 1]
    np.savez(tmp_path / "own.npz", x=x, y=y, dy=x[:, ::-1])
    own = {"target": str(tmp_path / "own.npz"), "order": 1, "hidden": 16, "batch_size": 8}
    task, found = fitted("silu", epochs=20, **own)
    assert task.tensors[2].shape == (80, 1, 2)
    assert {name for name in found if name.startswith("val_error/")} == {
        "val_error/value",
        "val_error/first",
    }
    assert found["val_error"] < 0.2
    task.pictures(tmp_path)
    assert (tmp_path / "derivatives.png").is_file()


def test_the_measure_says_the_same_and_of_any_regression_that_knows_its_derivatives():
    task, found = fitted("tanh", epochs=1, **SMALL)
    values = build("derivative_error").values(Fitted(task))
    for order in ("value", "first", "second"):
        expected = pytest.approx(found[f"val_error/{order}"], rel=1e-5)
        assert values[f"derivative_error/{order}"] == expected


X = np.arange(20.0)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X, "y": X}, "order must be at most 0, the derivatives in .*own.npz, but got 1"),
        ({"x": X, "y": X, "dy": 0 * X}, "dy of .* must not be 0 everywhere, .* Leave it out."),
        ({"x": X, "y": X[:19]}, r"y of .* must have shape \(20, .*\), but got \(19,\)"),
        ({"x": X, "y": X, "dy": np.ones((20, 2))}, r"shape \(20, 1, 1\), but got \(20, 2\)"),
        ({"x": X, "y": X * np.nan}, "must be finite, but got NaN or inf"),
        ({"x": X}, "must hold arrays of numbers x and y, but got x"),
    ],
)
def test_files_that_do_not_fit_get_one_line(tmp_path, arrays, message):
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(InvalidValueError, match=message) as caught:
        Sobolev(target=str(tmp_path / "own.npz"), order=1)
    assert "\n" not in str(caught.value)


def test_an_unknown_target_is_told_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"nearest: wave. Or an \.npz or \.csv file"):
        Sobolev(target="waev")
