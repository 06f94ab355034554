import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from actsearch import Placement, activation, find_sites
from actsearch.errors import InvalidValueError, RequirementError
from actsearch.task import laws
from actsearch_tasks.data.energies import ENERGIES, descend, rises
from actsearch_tasks.data.friction import SteadyLuGre
from actsearch_tasks.friction import Friction


class TestFriction(laws.TaskLaws):
    @pytest.fixture
    def task(self):
        return Friction

    @pytest.fixture
    def small(self):
        return {"samples": 60, "steps": 10}

    @pytest.fixture(params=[{}, {"stribeck": True, "optimizer": "adam", "batch_size": 16}], ids=str)
    def variant(self, request):
        return request.param


def build_with(name, force=False, **options):
    task = laws.build_task(Friction, options)
    if name != "identity":
        Placement.uniform(name, find_sites(task)).apply(task, force=force)
    return task


def raised(name, energy, step, steps=1000):
    start = 3 * torch.randn(10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = rises(descend(energy, activation(name), start, step, steps))
    return int((found > 0).sum())


@pytest.mark.claim
@pytest.mark.parametrize("energy", ENERGIES)
def test_no_step_raises_an_energy_up_to_two_over_its_curvature(energy):
    for name in ("tanh", "arctan", "softsign", "softshrink", "clip", "identity", "relu"):
        assert [raised(name, energy, step) for step in (1.0, 2.0)] == [0, 0], name


@pytest.mark.claim
def test_beyond_the_bound_steps_climb_and_so_do_shapes_that_the_site_refuses():
    assert raised("tanh", "log_cosh", 2.1) > 50
    assert raised("clip", "quadratic", 2.1) > 200
    for name, step, why in (
        ({"activation": "tempered_tanh", "parameters": {"scale": 1.5}, "learn": []}, 2.0, "1.5"),
        ("softplus", 1.0, "zero_preserving is False"),
        ("negative(x)", 1.0, "monotone is False"),
    ):
        with pytest.raises(RequirementError, match=why):
            build_with(name)
        task = build_with(name, force=True, step=step, steps=1000)
        assert int((rises(task.descend()) > 0).sum()) > 0, name


@pytest.mark.parametrize("energy", ENERGIES)
def test_the_gradients_are_those_of_the_energies_and_curve_by_one_at_most(energy):
    value, gradient = ENERGIES[energy]
    x = torch.linspace(-4, 4, 41, dtype=torch.float64)[:, None].expand(-1, 3).requires_grad_()
    (expected,) = torch.autograd.grad(value(x).sum(), x, create_graph=True)
    torch.testing.assert_close(gradient(x), expected)
    (curvature,) = torch.autograd.grad(expected.sum(), x)
    assert float(curvature.abs().max()) == pytest.approx(1)


@pytest.mark.claim
def test_a_plateau_fits_dry_friction_to_its_noise_and_a_viscous_law_does_not():
    found = laws.fit(build_with("tanh"), 8)
    assert found["val_force_error"] < 0.025  # noise of 0.02 N
    assert found["val_plateau"] == pytest.approx(1, abs=0.01)
    assert found["val_viscous"] == pytest.approx(0.4, abs=0.02)
    assert found["val_energy_rises"] == 0
    assert laws.fit(build_with("identity"), 8)["val_force_error"] > 0.4


def test_the_dip_needs_its_own_term():
    near = {"span": 5e-3}
    assert laws.fit(build_with("tanh", **near), 8)["val_force_error"] > 0.07
    found = laws.fit(build_with("tanh", stribeck=True, **near), 8)
    assert found["val_force_error"] < 0.025
    assert found["val_excess"] == pytest.approx(0.5, abs=0.03)
    assert found["val_stribeck"] == pytest.approx(1e-3, rel=0.1)


def block(path, noise=0.005):
    """A block of 1 kg on a spring of 100 N/m, let go at 0.1 m; exact dry friction of 0.5 N."""
    velocities, places = [], [0.1]
    phase = np.arange(100) / 100 * np.pi
    for half in range(4):
        way = -1.0 if half % 2 == 0 else 1.0
        centre = -way * 0.5 / 100  # where spring and friction balance
        swing = abs(places[-1] - centre)
        velocities.append(way * 10 * swing * np.sin(phase))
        places.append(centre + way * swing)
    velocity = np.concatenate(velocities)
    force = 0.5 * np.sign(velocity) + noise * np.random.default_rng(0).normal(size=len(velocity))
    time = np.arange(len(velocity)) * np.pi / 10 / 100
    rows = "\n".join(map("{:.5f},{:.6f},{:.5f}".format, time, velocity, force))
    path.write_text("time,velocity,force\n" + rows + "\n")
    return [abs(place) for place in places]


def swings(force, halves):
    """Amplitudes of the block under a friction law, by SciPy."""

    def slope(_, state):
        return [state[1], -100 * state[0] - force(state[1])]

    def turns(_, state):
        return state[1]

    solved = solve_ivp(
        slope, (0, 1.3), [0.1, -1e-9], events=turns, method="LSODA", rtol=1e-8, atol=1e-10
    )
    return np.abs(solved.y_events[0][:, 0][:halves])


@pytest.mark.claim
def test_a_block_of_ones_own_loses_as_much_at_each_swing_by_the_fitted_law(tmp_path):
    places = block(tmp_path / "block.csv")
    assert places[1:4] == pytest.approx([0.09, 0.08, 0.07])
    task = build_with("tanh", data=str(tmp_path / "block.csv"))
    assert int(task.splits.train.max()) < int(task.splits.val.min())  # later ones are held out
    found = laws.fit(task, 8)
    assert found["val_plateau"] == pytest.approx(0.5, abs=0.005)
    assert found["val_viscous"] < 0.02

    def law(velocity):
        return task(torch.tensor([[velocity]], dtype=torch.float64)).item()

    with torch.no_grad():
        assert swings(law, 3) == pytest.approx([0.09, 0.08, 0.07], abs=1e-4)
    task.pictures(tmp_path)
    assert (tmp_path / "friction.png").is_file()


HEAD = "velocity,force\n"
ROWS = "".join(f"{i - 10},{i - 10}\n" for i in range(21))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("speed,force\n1,2\n", "must have the columns velocity, force, but got speed, force"),
        (HEAD + "1,\n", "force in line 2 of .* must be a finite number, but got ''"),
        (HEAD + "1,2\n", "must have at least 20 rows, but got 1"),
        (HEAD + "3,2\n" * 20, "velocity of .* must vary, but got 3"),
        (HEAD + ROWS.replace(",", ",-").replace("--", ""), "against the motion, .*Turn its sign"),
        ("time," + HEAD + "1,1,1\n" * 20, "time of .* must rise, but does not in line 3"),
    ],
)
def test_files_that_are_no_measurement_get_one_line(tmp_path, text, message):
    (tmp_path / "own.csv").write_text(text)
    with pytest.raises(InvalidValueError, match=message) as caught:
        Friction(data=str(tmp_path / "own.csv"))
    assert "\n" not in str(caught.value)


def test_l_bfgs_wants_all_rows():
    with pytest.raises(InvalidValueError, match="batch_size must be at least 36"):
        Friction(samples=60, batch_size=8)


def test_the_lugre_model_breaks_away_at_its_static_force():
    v = torch.tensor([1e-9, 1e-3, 0.5], dtype=torch.float64)
    expected = [1.5, 1 + 0.5 / np.e + 4e-4, 1.2]
    assert SteadyLuGre().force(v).tolist() == pytest.approx(expected)
    assert SteadyLuGre().force(-v).tolist() == pytest.approx([-f for f in expected])
