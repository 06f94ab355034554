import math

import numpy as np
import pytest
import torch

import actsearch
from actsearch import Placement
from actsearch.errors import InvalidValueError, UnknownNameError
from actsearch.task import laws
from actsearch_tasks.matching import Matching

VARIANTS = [{}, {"affine": False}, {"target": "hill", "low": 0.0, "high": 3.0}]

LEAKY = {"activation": "leaky_relu", "parameters": {"negative_slope": 0.1}}

FLOORS = {
    "relu": 5.581e-3,
    "tanh": 4.294e-3,
    "leaky_relu": 1.686e-3,
    "softplus": 4.672e-4,
}
"""Mean squared errors that are left, of least squares from 40 starts."""


class TestMatching(laws.TaskLaws):
    @pytest.fixture
    def task(self):
        return Matching

    @pytest.fixture
    def small(self):
        return {"points": 41, "restarts": 3}

    @pytest.fixture(params=VARIANTS, ids=str)
    def variant(self, request):
        return request.param


def fitted(activation, seed=0, **options):
    task = laws.build_task(Matching, options, seed)
    if activation != "relu":
        Placement.uniform(activation, actsearch.find_sites(task)).apply(task)
    return task, laws.fit(task)


@pytest.mark.claim
def test_elu_fits_exactly_and_no_other_does():
    _, exact = fitted("elu", restarts=8)
    assert exact["val_loss"] < 1e-8
    for name, floor in FLOORS.items():
        _, found = fitted(LEAKY if name == "leaky_relu" else name, restarts=8)
        assert found["val_loss"] == pytest.approx(floor, rel=0.01), name


def test_each_start_begins_with_what_the_activation_began_with():
    # What is learned is reset as well, else a start would depend on the one before.
    entry = {"activation": "prelu", "learn": ["negative_slope"]}
    starts = []

    class Noting(Matching):
        def _draw(self, t):
            super()._draw(t)
            starts.append({n: p.detach().clone() for n, p in self.named_parameters()})

    task = laws.build_task(Noting, {"restarts": 3})
    Placement.uniform(entry, actsearch.find_sites(task)).apply(task)
    found = laws.fit(task)
    (slope,) = (name for name in starts[0] if "slope" in name)
    assert all(torch.equal(start[slope], starts[0][slope]) for start in starts)
    assert len({float(start["network.inner.weight"]) for start in starts}) == 3
    assert float(dict(task.named_parameters())[slope].detach()) != float(starts[0][slope])
    t, y = task.curve
    assert found["val_loss"] == pytest.approx(float((task(t) - y).square().mean().detach()))


def test_the_best_start_counts_and_one_that_is_not_finite_does_not():
    class Failing(Matching):
        def _draw(self, t):
            super()._draw(t)
            if len(self._losses) in (0, 3):
                self.network.inner.weight.data.fill_(math.nan)

    task = laws.build_task(Failing, {"restarts": 4, "target": "relu"})
    found = laws.fit(task)
    assert [loss == math.inf for loss in task._losses] == [True, False, False, True]
    assert found["val_loss"] == pytest.approx(min(task._losses))
    assert found["val_loss"] < max(task._losses[1:3])


def test_a_curve_of_ones_own_in_any_unit_is_matched(tmp_path):
    x = 1e3 * np.sort(np.random.default_rng(0).uniform(-1, 1, 60))
    y = 1e-6 * np.tanh(x / 300)
    order = np.random.default_rng(1).permutation(60)
    np.savez(tmp_path / "own.npz", x=x[order], y=y[order])
    task, found = fitted("tanh", target=str(tmp_path / "own.npz"))
    assert len(task.curve[0]) == 48
    assert found["val_loss"] < 1e-12 * y.var()
    (tested,) = laws.trainer().test(task, verbose=False)
    assert tested["test_loss"] < 1e-12 * y.var()
    _, other = fitted("relu", target=str(tmp_path / "own.npz"))
    assert other["val_loss"] > 1e-2 * y.var()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((20, 2)), "y": np.ones(20)}, r"x \(N,\) and y \(N,\), N at least 10, but"),
        ({"x": np.arange(9.0), "y": np.ones(9)}, r"got \(9, 1\) and \(9, 1\)"),
        ({"x": np.arange(9.0)}, "must hold arrays of numbers x and y, but got x"),
    ],
)
def test_files_that_are_no_curve_get_one_line(tmp_path, arrays, message):
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(InvalidValueError, match=message) as caught:
        Matching(target=str(tmp_path / "own.npz"))
    assert "\n" not in str(caught.value)


def test_options_that_do_not_fit_are_refused():
    with pytest.raises(UnknownNameError, match="nearest: elu"):
        Matching(target="eluu")
    with pytest.raises(InvalidValueError, match="'relu' with values from 0 to 0"):
        Matching(target="relu", high=-1.0)
    for low, high in ((1.0, 1.0), (math.nan, 1.0), (0.0, math.inf)):
        with pytest.raises(InvalidValueError, match="low must be below high, both finite, but"):
            Matching(low=low, high=high)
