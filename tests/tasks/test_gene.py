import math

import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.optimize import curve_fit

from actsearch import Placement, find_sites
from actsearch.errors import ActsearchWarning, InvalidValueError, RequirementError, UnknownNameError
from actsearch.task import laws
from actsearch_tasks.data.regulation import haemoglobin, load_regulation, simulated_gene
from actsearch_tasks.gene import GeneRegulation
from actsearch_tasks.gene.course import Course
from actsearch_tasks.gene.response import half_response


class TestGene(laws.TaskLaws):
    @pytest.fixture
    def task(self):
        return GeneRegulation

    @pytest.fixture
    def small(self):
        return {"starts": 5}

    @pytest.fixture(
        params=[{"noise": 0.02, "optimizer": "adam", "batch_size": 16}, {"data": "haemoglobin"}],
        ids=str,
    )
    def variant(self, request):
        return request.param


def build_with(name=None, force=False, **options):
    task = laws.build_task(GeneRegulation, options)
    if name:
        Placement.uniform(name, find_sites(task)).apply(task, force=force)
    return task


@pytest.mark.long
@pytest.mark.claim
def test_clean_data_give_k_and_n_back_and_no_other_form_fits_them():
    task = build_with()
    found = laws.fit(task, 10)
    assert found["val_K_error"] < 0.05
    assert found["val_n_error"] < 0.05
    assert found["val_error"] < 2e-3
    assert found["val_decay"] == pytest.approx(0.7, rel=0.01)
    (tested,) = laws.trainer().test(task, verbose=False)
    assert tested["test_K_low"] < found["val_K"] < tested["test_K_high"]
    for name, least in (("sigmoid", 0.01), ("relu", 0.03)):
        other = laws.fit(build_with(name), 4)
        assert other["val_error"] > least, name
        assert other["val_aic"] > found["val_aic"] + 100
        assert ("val_n" in other) == (name == "sigmoid")


@pytest.mark.claim
def test_haemoglobin_is_cooperative():
    task = build_with(data="haemoglobin", errors="absolute")
    found = laws.fit(task, 6)
    assert found["val_n"] == pytest.approx(2.67, abs=0.02)
    assert found["val_K"] == pytest.approx(26.4, abs=0.1)
    p, s = task.tensors
    assert float((task(p) - s).abs().max().detach()) < 0.03
    # SciPy's own fit of the same rows.
    rows = task.splits.train
    x, y = (t[rows, 0].numpy() for t in (p, s))
    (k, n), _ = curve_fit(lambda u, k, n: u**n / (k**n + u**n), x, y, p0=(20, 2))
    assert (found["val_K"], found["val_n"]) == pytest.approx((k, n), rel=1e-5)
    logistic = build_with("sigmoid", data="haemoglobin", errors="absolute")
    laws.fit(logistic, 6)
    assert float((logistic(p) - s).abs().max().detach()) > 0.05


def test_a_regulator_on_one_side_of_k_is_told(tmp_path):
    seen = haemoglobin()
    few = seen.regulators[:, 0] < 18
    rows = zip(seen.regulators[few, 0], seen.targets[few, 0], strict=True)
    text = "regulator,target\n" + "".join(f"{u},{x}\n" for u, x in rows)
    (tmp_path / "own.csv").write_text(text)
    task = build_with(data=str(tmp_path / "own.csv"), fraction=True)
    assert laws.fit(task, 6)["val_crosses_half"] == 0
    with pytest.warns(ActsearchWarning, match="must be seen on both sides of K, but got K"):
        laws.trainer().test(task, verbose=False)


def test_the_site_refuses_what_is_no_rate_of_production_and_forced_it_is_negative():
    for name, options, why in (
        ("tanh", {}, "minimum is -1"),
        ("silu", {}, "monotone is False"),
        ("softplus", {"data": "haemoglobin"}, "maximum is inf"),
        ("relu", {"data": "repressilator"}, "maximum is inf"),
    ):
        with pytest.raises(RequirementError, match=why):
            build_with(name, **options)
    task = build_with("relu", force=True, data="repressilator")
    assert float(task.response(task.course.nodes).min().detach()) < -1  # 1 - φ


def test_the_course_is_that_of_an_integrator():
    found = simulated_gene()
    course = Course(found.time, found.regulators)
    u = course.nodes**2
    decay = torch.tensor([0.7 * 12], dtype=torch.float64)
    mine = 12 * course(u, decay)[:, 0]  # in units of the course

    from scipy.interpolate import PchipInterpolator

    driver = PchipInterpolator(found.time.numpy(), found.regulators[:, 0].numpy())
    solved = solve_ivp(
        lambda t, x: max(driver(t), 0) ** 2 - 0.7 * x,
        (0, 12),
        [0.0],
        t_eval=found.time.numpy(),
        rtol=1e-9,
        atol=1e-9,
        max_step=0.2,
    )
    torch.testing.assert_close(mine, torch.from_numpy(solved.y[0]), rtol=1e-5, atol=1e-6)


def test_half_response_and_steepness_of_a_hill_function_are_its_own():
    scale = torch.tensor([1.0, 100.0], dtype=torch.float64)
    k, n = torch.tensor([[0.3, 900.0], [1.0, 7.0]], dtype=torch.float64)
    half, steepness = half_response(lambda u: 1 - u**n / (k**n + u**n), scale)
    torch.testing.assert_close(half, k)
    torch.testing.assert_close(steepness, n)
    assert all(t.isnan().all() for t in half_response(torch.nn.functional.softplus, scale))


def course_of_two(path):
    """Two targets of one regulator, K 3 and n 4, K 1 and n 1.5; every seventh value missing."""
    time = torch.linspace(0, 30, 121, dtype=torch.float64)
    u = 2.5 + 2.4 * torch.sin(0.9 * time)
    lines = []
    columns = []
    for k, n, decay in ((3.0, 4.0, 0.5), (1.0, 1.5, 1.5)):

        def slope(t, x, k=k, n=n, decay=decay):
            active = (2.5 + 2.4 * math.sin(0.9 * t)) ** n
            return 20 + 300 * active / (k**n + active) - decay * x

        columns.append(solve_ivp(slope, (0, 30), [10.0], t_eval=time.numpy(), rtol=1e-8).y[0])
    for i, t in enumerate(time.tolist()):
        cells = [f"{column[i]:.5f}" for column in columns]
        if i % 7 == 3:
            cells[i % 2] = ""
        lines.append(f"{t},{'' if i % 11 == 5 else f'{u[i]:.6f}'},{','.join(cells)}")
    path.write_text("time,regulator,target_one,target_two\n" + "\n".join(lines) + "\n")


def test_several_targets_of_ones_own_with_missing_values(tmp_path):
    course_of_two(tmp_path / "own.csv")
    task = build_with(data=str(tmp_path / "own.csv"))
    found = laws.fit(task, 10)
    assert (found["val_K/one"], found["val_n/one"]) == pytest.approx((3, 4), rel=0.03)
    assert (found["val_K/two"], found["val_n/two"]) == pytest.approx((1, 1.5), rel=0.05)
    assert found["val_decay/two"] == pytest.approx(1.5, rel=0.02)
    task.pictures(tmp_path)
    assert (tmp_path / "gene.png").is_file()
    # Another activation may stand where each target had one of its own.
    assert "val_error" in laws.fit(build_with("sigmoid", data=str(tmp_path / "own.csv")))


HEAD = "time,regulator,target\n"
ROWS = "".join(f"{i},{i % 5},{i % 3}\n" for i in range(20))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "time,target\n1,2\n",
            "must have the columns regulator and target, .* got time, target",
        ),
        ("regulator_a,regulator_b,target_b\n1,1,2\n", "or regulator_NAME for each target_NAME"),
        (HEAD + ROWS + "x,1,1\n", "time in line 22 of .* must be a finite number, but got 'x'"),
        (HEAD + ROWS + ",1,1\n", "time of .* must have at least 21 values, but got 20"),
        (HEAD + ROWS + "3,1,1\n", "time of .* must rise, but does not in line 22"),
        (HEAD + "1,1,1\n", "time of .* must have at least 12 values, but got 1"),
        (HEAD + ROWS.replace(",3,", ",-3,"), "regulator of .* must be a concentration, .* got -3"),
        ("regulator,target\n" + "2,1\n" * 20, "regulator of .* must vary, but got 2"),
    ],
)
def test_files_that_are_no_response_get_one_line(tmp_path, text, message):
    (tmp_path / "own.csv").write_text(text)
    with pytest.raises(InvalidValueError, match=message) as caught:
        load_regulation(str(tmp_path / "own.csv"))
    assert "\n" not in str(caught.value)


def test_options_that_do_not_fit_are_refused():
    with pytest.raises(UnknownNameError, match="nearest: haemoglobin"):
        GeneRegulation(data="haemoglobine")
    with pytest.raises(InvalidValueError, match="fraction must be of a steady state"):
        GeneRegulation(fraction=True)
