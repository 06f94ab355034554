import sys

import numpy as np
import pytest
import torch

from actsearch import Placement, find_sites
from actsearch.errors import InvalidValueError, RequirementError, TaskError, UnknownNameError
from actsearch.task import laws
from actsearch_tasks.pinn import PhysicsInformed, Problem
from actsearch_tasks.pinn.points import face_points, interior_points
from actsearch_tasks.pinn.problem import Derivatives
from actsearch_tasks.pinn.shipped import PROBLEMS

SMALL = {"hidden": 6, "interior": 20, "boundary": 8, "adam_steps": 20}
VARIANTS = [
    {},
    {"problem": "elasticity", "boundary_form": "hard", "sampling": "grid"},
    {"optimizer": "adam", "sampling": "uniform", "resample_every": 1, "batch_size": 16},
]


class TestPinn(laws.TaskLaws):
    @pytest.fixture
    def task(self):
        return PhysicsInformed

    @pytest.fixture
    def small(self):
        return SMALL

    @pytest.fixture(params=VARIANTS, ids=str)
    def variant(self, request):
        return request.param


def build_with(activation, seed=0, **options):
    task = laws.build_task(PhysicsInformed, options, seed)
    if activation != "tanh":
        Placement.uniform(activation, find_sites(task)).apply(task, force=True)
    return task


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_shipped_solution_solves_its_equation_and_keeps_its_conditions(name):
    problem = PROBLEMS[name]()
    generator = torch.Generator().manual_seed(0)
    x = interior_points("uniform", problem.bounds, 50, generator)
    x.requires_grad_()
    u = problem.exact(x)
    residual = problem.residual(x, u, Derivatives(problem, x, u))
    assert residual.abs().max() < 1e-12
    faces = face_points("sobol", problem.bounds, 40, generator)
    assert len(faces) == 40
    for points, values in problem.conditions(faces):
        torch.testing.assert_close(problem.exact(points), values, atol=1e-12, rtol=0)
        for free in (-1.0, 3.0):
            forced = problem.transform(points, torch.full_like(values, free))
            torch.testing.assert_close(forced, values, atol=1e-12, rtol=0)


@pytest.mark.claim
def test_tanh_solves_the_heat_equation():
    assert laws.fit(build_with("tanh"), 12)["val_error"] < 5e-3


@pytest.mark.claim
def test_relu_is_refused_and_forced_has_no_second_derivative_and_no_solution():
    task = laws.build_task(PhysicsInformed, {})
    for name in ("relu", "elu"):
        with pytest.raises(RequirementError, match="smoothness >= 2"):
            Placement.uniform(name, find_sites(task)).apply(task)
    found = laws.fit(build_with("relu", adam_steps=20), 2)
    assert found["val_second"] == 0
    assert found["val_error"] > 0.1


def test_points_are_others_by_split_seed_and_drawn_anew_in_time():
    first, again, other = (
        laws.build_task(PhysicsInformed, SMALL | {"split_seed": seed}) for seed in (0, 0, 1)
    )
    assert first.tensors[0].equal(again.tensors[0])
    inside = first.select("train")[2] == 0
    seen = first.select("train")[0][inside]
    assert not (seen == other.select("train")[0][inside]).any()
    task = laws.build_task(PhysicsInformed, SMALL | {"resample_every": 1, "adam_steps": 30})
    laws.trainer(3).fit(task)
    last = task.seen[0][inside]
    torch.testing.assert_close(last, task.draw_interior(1))  # L-BFGS kept those
    assert not (last == seen).any()


SOURCE = """
import torch
from actsearch_tasks.pinn import Problem

class Rod(Problem):
    inputs, outputs = ("x", "t"), ("u",)
    bounds = ((0.0, 2.0), (0.0, 50.0))  # cm, s
    order = 2
    coefficients = {"alpha": 0.02}

    def residual(self, x, u, d):
        return 10 * (d("u", "t") - self.coefficients["alpha"] * d("u", "xx"))

    def conditions(self, points):
        ends = points[(points[:, 0] == 0) | (points[:, 0] == 2)]
        return [(ends, torch.full_like(ends[:, :1], 293.0))]

class Beam(Problem):
    inputs, outputs, bounds, order = ("x",), ("w",), ((0.0, 1.0),), 4

    def residual(self, x, u, d):
        return d("w", "xxxx") - 1

    def conditions(self, points):
        return [(points, 0 * points)]

class Nothing:
    pass
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_problems.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "own_problems"
    sys.modules.pop("own_problems", None)


def rod(path, diffusivity=0.008):
    x, t = np.meshgrid(np.linspace(0, 2, 9), np.linspace(0, 50, 8))
    u = 293 + 60 * np.exp(-diffusivity * (np.pi / 2) ** 2 * t) * np.sin(np.pi * x / 2)
    rows = np.stack([x.ravel(), t.ravel(), u.ravel()], 1)
    np.savetxt(path, rows, delimiter=",", header="x,t,u", comments="")
    return str(path)


def test_a_coefficient_of_an_equation_of_ones_own_is_found_from_measured_rows(own, tmp_path):
    options = {
        "problem": f"{own}.Rod",
        "data": rod(tmp_path / "rod.csv"),
        "interior": 60,
        "adam_steps": 100,
    }
    task = build_with("tanh", **options)
    found = laws.fit(task, 7)
    assert found["val_alpha"] == pytest.approx(0.008, rel=0.03)
    assert found["val_error"] < 1e-2  # of rows that were held out
    task.pictures(tmp_path)
    table = np.genfromtxt(tmp_path / "solution.csv", delimiter=",", names=True)
    assert table.dtype.names == ("x", "t", "u")
    assert abs(table["u"].max() - 353) < 3


def test_without_data_or_a_solution_the_error_is_that_of_the_equation(own, tmp_path):
    task = build_with("tanh", problem=f"{own}.Beam", **SMALL)
    found = laws.fit(task, 1)
    expected = found["val_residual"] + 10 * found["val_boundary"]
    assert found["val_error"] == pytest.approx(expected**0.5)
    assert find_sites(task)[0].requires == "smoothness >= 4"
    assert "alpha" not in task.coefficients()
    task.pictures(tmp_path)
    forward = laws.build_task(PhysicsInformed, SMALL | {"problem": f"{own}.Rod"})
    assert not forward.coefficients()  # nothing tells them


def test_what_is_no_problem_gets_one_line(own, tmp_path):
    for name, kind, message in (
        ("haet", UnknownNameError, "nearest: heat. Or the dotted path of a Problem"),
        ("no_such.Rod", TaskError, "there is no module 'no_such' from this folder"),
        (f"{own}.Bar", TaskError, "has no 'Bar'"),
        (f"{own}.Nothing", TaskError, "must be a subclass of .*Problem"),
    ):
        with pytest.raises(kind, match=message) as caught:
            PhysicsInformed(problem=name)
        assert "\n" not in str(caught.value)
    with pytest.raises(InvalidValueError, match=r"must be soft of own_problems.Beam, which has no"):
        PhysicsInformed(problem=f"{own}.Beam", boundary_form="hard")
    with pytest.raises(InvalidValueError, match="batch_size must be at least 475, all tr"):
        PhysicsInformed(batch_size=400)
    path = rod(tmp_path / "rod.csv")
    with pytest.raises(InvalidValueError, match="must lie in its bounds, 0 to 1, but got"):
        PhysicsInformed(data=path)
    with pytest.raises(InvalidValueError, match="must have the columns x, y, u, v, but got x, t"):
        PhysicsInformed(problem="elasticity", data=path)


def changed(own, **changes):
    module = __import__(own)
    module.Rod = type("Rod", (module.Rod,), changes)
    return f"{own}.Rod"


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"inputs": ("xx", "t")}, InvalidValueError, "inputs of Rod must be a letter each"),
        ({"bounds": ((0, 1),)}, InvalidValueError, "bounds of Rod must be a rising pair for each"),
        ({"order": 0}, InvalidValueError, "order of Rod must be a whole number of at least 1"),
        ({"order": 1}, InvalidValueError, "order of Rod must be at least 2, .* has u_xx, but got"),
        ({"outputs": ("v",)}, UnknownNameError, "unknown output 'u'; known: v"),
        ({"coefficients": {"alpha": 0}}, InvalidValueError, "coefficients of Rod must start at"),
        ({"conditions": lambda self, p: []}, InvalidValueError, "must prescribe values, or data"),
        ({"conditions": lambda self, p: [(p, p)]}, InvalidValueError, r"got \(48, 2\) and \(48, 2"),
        ({"residual": lambda self, x, u, d: u / 0}, InvalidValueError, "must be finite, but got"),
        ({"residual": Problem.residual}, TaskError, "must have residual"),
    ],
)
def test_problems_that_do_not_fit_together_get_one_line(own, changes, kind, message):
    with pytest.raises(kind, match=message) as caught:
        PhysicsInformed(problem=changed(own, **changes), boundary=48)
    assert "\n" not in str(caught.value)
