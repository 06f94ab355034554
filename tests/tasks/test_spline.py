import math

import pytest
import torch
from scipy.interpolate import BSpline

from actsearch import Placement, activation, find_sites
from actsearch.errors import InvalidValueError, RequirementError
from actsearch.task import laws
from actsearch_tasks.data.functions import bend, kink, read_points, tone
from actsearch_tasks.spline import Spline


class TestSpline(laws.TaskLaws):
    @pytest.fixture
    def task(self):
        return Spline

    @pytest.fixture
    def small(self):
        return {"points": 60, "hidden": 3}

    @pytest.fixture(
        params=[{}, {"target": "crease", "depth": 2, "share": "channel", "optimizer": "adam"}],
        ids=str,
    )
    def variant(self, request):
        return request.param


def built(name, seed=0, **options):
    task = laws.build_task(Spline, options, seed)
    Placement.uniform(name, find_sites(task)).apply(task)
    return task


def least_squares(target, degree, intervals):
    """Error of the best spline on [-1, 1]: the activation is linear in its coefficients."""
    φ = activation("bspline", degree=degree, intervals=intervals, bound=1.0).double()
    x = torch.linspace(-0.999, 0.999, 2001, dtype=torch.float64)
    units = torch.eye(φ.coefficients.numel(), dtype=torch.float64)
    with torch.no_grad():
        columns = [
            torch.func.functional_call(φ, {"coefficients": unit.view_as(φ.coefficients)}, (x,))
            for unit in units
        ]
    design = torch.stack(columns, 1)
    wanted = target(x)[:, None]
    found = design @ torch.linalg.lstsq(design, wanted).solution
    return float((found - wanted).square().mean().sqrt())


@pytest.mark.claim
@pytest.mark.parametrize("degree", [1, 2, 3, 4, 5])
def test_the_error_of_a_smooth_function_falls_by_degree_and_that_of_a_kink_does_not(degree):
    coarse, fine = (least_squares(tone, degree, count) for count in (16, 32))
    assert math.log2(coarse / fine) == pytest.approx(degree + 1, abs=0.2)
    blunt, finest = (least_squares(kink, degree, count) for count in (8, 32))
    assert 0.5 < math.log2(blunt / finest) / 2 < 1.9  # of any degree


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_between_its_knots_it_is_scipys(degree):
    φ = activation("bspline", degree=degree, intervals=4, bound=2.0).double()
    with torch.no_grad():
        φ.coefficients.copy_(torch.randn(φ.coefficients.shape, generator=torch.manual_seed(0)))
    x = torch.linspace(-1.9, 1.9, 101, dtype=torch.float64)
    count = φ.coefficients.numel()
    # Knots a unit apart, as many as the coefficients need, around the middle.
    first = -(count + degree) / 2
    knots = first + torch.arange(count + degree + 1, dtype=torch.float64)
    known = BSpline(knots.numpy(), φ.coefficients.detach().flatten().numpy(), degree)
    inside = (x >= knots[degree]) & (x <= knots[count])
    assert φ(x[inside]).detach().numpy() == pytest.approx(known(x[inside].numpy()), abs=1e-9)


@pytest.mark.claim
def test_a_degree_without_the_derivative_that_the_loss_sees_is_refused():
    with pytest.raises(RequirementError, match="smoothness >= 1"):
        Spline(order=1, degree=1)
    task = laws.build_task(Spline, {"order": 1, "degree": 2, "target": "tone", "points": 100})
    with pytest.raises(RequirementError, match="smoothness >= 1"):
        Placement.uniform("piecewise_linear", find_sites(task)).apply(task)
    found = laws.fit(task, 6)
    assert found["val_error/first"] < 0.2
    assert found["val_degree"] == 2


@pytest.mark.claim
def test_splines_fit_a_bend_that_relu_does_not():
    spline = laws.fit(built({"activation": "bspline", "parameters": {"degree": 2}}), 6)
    relu = laws.fit(built("relu"), 6)
    assert spline["val_error/value"] < 0.3 * relu["val_error/value"]


def test_pictures_show_the_splines_and_their_jumps(tmp_path):
    task = laws.build_task(Spline, {"points": 60, "degree": 2, "share": "channel"})
    task.pictures(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"derivatives.png", "splines.png"}


def test_points_of_ones_own(tmp_path):
    path = tmp_path / "own.csv"

    def write(header, rows):
        lines = [header, *(",".join(map(str, row)) for row in rows)]
        path.write_text("\n".join(lines), encoding="utf-8")
        return str(path)

    grid = [i / 30 - 1 for i in range(60)]
    rows = [(x, float(bend(torch.tensor(x)))) for x in grid]
    x, y = read_points(write("x,y", rows))
    assert (x.shape, y.shape) == ((60, 1), (60, 1))
    assert math.isfinite(laws.fit(Spline(target=write("x,y", rows)), 1)["val_error/value"])
    x, _ = read_points(write("x2,y,x1", [(i % 7, i, i % 5) for i in range(40)]))
    assert x[6].tolist() == [1, 6]
    with pytest.raises(InvalidValueError, match="must have the columns x, y, but got t, y"):
        read_points(write("t,y", rows))
    with pytest.raises(InvalidValueError, match=r"x of .* must vary over at least 20 rows"):
        read_points(write("x,y", rows[:9]))
    with pytest.raises(InvalidValueError, match="batch_size must be at least 240"):
        Spline(batch_size=10)
