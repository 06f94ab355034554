import math

import pytest
import torch
from scipy.integrate import solve_ivp

import actsearch
from actsearch import Placement, find_sites
from actsearch.errors import InvalidValueError, RequirementError
from actsearch.task import laws
from actsearch_tasks.data.trajectories import reaction_chain, read_trajectory
from actsearch_tasks.dynamics import DampedDynamics
from actsearch_tasks.dynamics.system import DampedSystem, equilibria, integrate

STARTS = torch.linspace(-50, 50, 401, dtype=torch.float64)[:, None]


class TestDynamics(laws.TaskLaws):
    @pytest.fixture
    def task(self):
        return DampedDynamics

    @pytest.fixture
    def small(self):
        return {"pieces": 20, "points": 4, "hidden": 4}

    @pytest.fixture(params=[{}, {"damping": 2.0}, {"batch_size": 5, "step": 0.2}], ids=str)
    def variant(self, request):
        return request.param


def scalar(activation, damping, shift=0.0):
    """Return x' = -λ x + φ(x + shift)."""
    system = DampedSystem(1, 1, damping).double()
    system.field.activation = actsearch.activation(activation)
    with torch.no_grad():
        for linear in (system.inner, system.outer):
            linear.weight.fill_(1.0)
            linear.bias.zero_()
        system.inner.bias.fill_(shift)
    return system


def spread(system, until):
    times = torch.tensor([[0.0, until]], dtype=torch.float64).expand(len(STARTS), 2)
    with torch.no_grad():
        x = integrate(system, STARTS, times, int(until / 0.1))[:, -1]
    return float(x.max() - x.min())


@pytest.mark.claim
@pytest.mark.parametrize("activation", ["softplus", "tanh", "relu"])
def test_above_the_catalogues_bound_all_starts_meet_in_one_equilibrium(activation):
    bound = scalar(activation, 1.0).slope()
    system = scalar(activation, 1.05 * bound)
    assert system.margin().item() == pytest.approx(0.05 * bound)
    found, stable = equilibria(system, STARTS)
    assert len(found) == 1
    assert stable.all()
    assert spread(system, 80.0) < 100 * math.exp(-0.05 * bound * 80)


@pytest.mark.claim
@pytest.mark.parametrize(
    ("activation", "damping", "shift", "points", "stable"),
    [
        ("tanh", 0.5, 0.0, [-1.9150, 0.0, 1.9150], [True, False, True]),
        ("sigmoid", 0.125, -4.0, [0.1700, 4.0, 7.8300], [True, False, True]),
        # Two, and beyond the second all runs away.
        ("softplus", 0.5, -3.0, [0.1080, 5.8920], [True, False]),
    ],
)
def test_below_the_bound_there_are_several(activation, damping, shift, points, stable):
    system = scalar(activation, damping, shift)
    assert system.margin().item() < 0
    found, holds = equilibria(system, STARTS)
    assert found[:, 0].tolist() == pytest.approx(points, abs=1e-3)
    assert holds.tolist() == stable


def test_softplus_without_a_shift_has_no_equilibrium_below_its_bound():
    assert not len(equilibria(scalar("softplus", 0.5), STARTS)[0])


@pytest.mark.parametrize("solver", ["rk4", "dopri5"])
def test_solutions_are_those_of_another_library_at_uneven_times(solver):
    task = laws.build_task(DampedDynamics, {"solver": solver, "pieces": 10})
    start, _, _ = task.select("val")
    times = torch.tensor([[0.0, 0.3, 1.0, 1.1], [0.0, 0.1, 0.2, 2.0]], dtype=torch.float64)
    task.steps = 50
    with torch.no_grad():
        found = task.solve(start, times)

        def field(_, x):
            return task.system(torch.from_numpy(x)[None])[0].numpy()

        for one, at, states in zip(start, times, found, strict=True):
            known = solve_ivp(field, (0, float(at[-1])), one, t_eval=at, rtol=1e-10, atol=1e-12)
            assert states.numpy() == pytest.approx(known.y.T, abs=1e-6)


def test_the_chain_is_that_of_its_equations():
    found = reaction_chain((1.0, 0.5), 3, 5, 2.0, seed=0)

    def field(_, x):
        return [-1.0 * x[0], 1.0 * x[0] - 0.5 * x[1]]

    for times, states in zip(found.times, found.states, strict=True):
        known = solve_ivp(field, (0, 2), states[0], t_eval=times, rtol=1e-10, atol=1e-12)
        assert states.numpy() == pytest.approx(known.y.T, abs=1e-8)


@pytest.mark.claim
def test_a_learned_damping_is_met_whatever_is_learned_and_a_negative_rate_undoes_it():
    task = laws.build_task(DampedDynamics, {"pieces": 20, "points": 4})
    (found,) = _tested(task)
    assert found["test_margin"] > 0
    assert found["test_equilibria"] == 1
    assert found["test_negative_rates"] == 0
    assert found["test_spread"] < math.exp(-found["test_margin"] * 10 * task.horizon) + 1e-12
    forced = laws.build_task(DampedDynamics, {"pieces": 20, "points": 4})
    sites = [s for s in find_sites(forced, forced.example_input_array) if s.name == "system.rate"]
    with pytest.raises(RequirementError, match="minimum >= 0"):
        Placement.uniform("tanh", sites).apply(forced)
    Placement.uniform("tanh", sites).apply(forced, force=True)
    with torch.no_grad():
        forced.system.decay.fill_(-3.0)
    (found,) = _tested(forced)
    assert found["test_margin"] < 0
    assert found["test_negative_rates"] == 1


def test_an_activation_without_a_bound_is_refused_and_forced_has_no_margin():
    task = laws.build_task(DampedDynamics, {"pieces": 20, "points": 4})
    sites = [s for s in find_sites(task, task.example_input_array) if s.name == "system.field"]
    with pytest.raises(RequirementError, match="derivative_bound < inf"):
        Placement.uniform("square(x)", sites).apply(task)
    Placement.uniform("square(x)", sites).apply(task, force=True)
    assert task.system.margin().item() == -math.inf
    (found,) = _tested(task)
    assert math.isfinite(found["test_error"])


def _tested(task):
    return laws.trainer().test(task, verbose=False)


def test_a_file_is_cut_into_pieces_and_read_strictly(tmp_path):
    path = tmp_path / "own.csv"

    def write(rows, header="t,A,B"):
        lines = [header, *(",".join(map(str, row)) for row in rows)]
        path.write_text("\n".join(lines), encoding="utf-8")
        return str(path)

    rows = [
        (0.1 * i + 0.01 * (i % 2), math.exp(-0.1 * i), 1 - math.exp(-0.1 * i)) for i in range(42)
    ]
    found = read_trajectory(write(rows), 5)
    assert found.names == ("A", "B")
    assert found.states.shape == (10, 5, 2)
    assert found.times[:, 0].eq(0).all()
    assert torch.equal(found.states[1:, 0], found.states[:-1, -1])
    task = laws.build_task(DampedDynamics, {"data": write(rows), "points": 5})
    assert task.splits.test.tolist() == [8, 9]  # the last
    assert math.isfinite(laws.fit(task, 2)["val_error"])
    with pytest.raises(InvalidValueError, match="must have at least 51 lines"):
        read_trajectory(write(rows), 6)
    with pytest.raises(InvalidValueError, match=r"t of .* must rise, but does not in line 4"):
        read_trajectory(write([rows[0], rows[2], rows[1], *rows[3:]]), 5)
    with pytest.raises(InvalidValueError, match=r"B of .* must vary, but is 1 at all times"):
        read_trajectory(write([(t, a, 1) for t, a, _ in rows]), 5)
    with pytest.raises(InvalidValueError, match=r"A in line 3 of .* must be a finite number"):
        read_trajectory(write([rows[0], (0.1, "", 0), *rows[2:]]), 5)
    with pytest.raises(InvalidValueError, match="must have the columns t"):
        read_trajectory(write(rows, "time,A,B"), 5)
