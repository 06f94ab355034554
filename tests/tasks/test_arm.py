import csv
import math

import control
import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from actsearch import Placement, find_sites
from actsearch.errors import ActsearchError, InvalidValueError, RequirementError
from actsearch.task import laws
from actsearch_tasks.arm import JointControl, control_system
from actsearch_tasks.arm.analysis import overshoot, phase_margin, settling_time
from actsearch_tasks.arm.plant import dc_motor, fit_plant, load_plant, transfer_function

SMALL = {"horizon": 0.1, "step": 0.005, "samples": 2, "gain": 1.0, "hold_slope": False}


class TestArm(laws.TaskLaws):
    @pytest.fixture
    def task(self):
        return JointControl

    @pytest.fixture
    def small(self):
        return SMALL

    @pytest.fixture(params=[{}, {"hidden": 3, "cost": "overshoot"}, {"hold_slope": True}], ids=str)
    def variant(self, request):
        return request.param


def build_with(name="tanh", force=False, **options):
    task = laws.build_task(JointControl, {"gain": 1.0} | options)
    if name != "tanh":
        Placement.uniform(name, find_sites(task)).apply(task, force=force)
    return task


def response(task, size):
    """Return the error after a step, overshoot and settling time."""
    with torch.no_grad():
        error = task.errors(torch.tensor([size], dtype=torch.float64))
    return error, 100 * float(overshoot(error)), float(settling_time(error, task.times))


def transfer(plant):
    return control.tf(control.ss(plant.A, plant.B[:, None], plant.C[None], 0))


def test_the_motor_is_that_of_its_constants():
    motor = dc_motor()
    assert sorted(motor.poles) == pytest.approx([-59.2246, 0], abs=1e-3)
    torch.set_num_threads(1)
    full = control.tf([0.0274], np.polymul([1, 0], _full_denominator()))
    for omega in (1.0, 30.0, 150.0):
        assert transfer(motor)(1j * omega) == pytest.approx(full(1j * omega), rel=1e-3)


def _full_denominator():
    J, b, K, R, L = 3.2284e-6, 3.5077e-6, 0.0274, 4.0, 2.75e-6
    return np.polyadd(np.polymul([J, b], [L, R]), [K * K])


@pytest.mark.claim
@pytest.mark.parametrize("name", ["tanh", "clip", "sub(sigmoid(x),0.5)"])
def test_poles_of_a_small_step_are_those_of_the_slope_at_zero(name):
    task = build_with(name, step=1e-3, horizon=0.2)
    wanted, _ = task.poles()
    assert wanted[wanted.imag > 0] == pytest.approx(-29.612 + 142.622j, rel=1e-4)
    assert task.pole_error() < 1e-3


@pytest.mark.claim
def test_the_slope_decides_small_steps_and_saturation_large_ones():
    options = {"hold_slope": False, "step": 1e-3, "horizon": 0.3}
    found = {}
    for name, k in (("tanh", 0.5), ("sub(sigmoid(x),0.5)", 2.0), ("tanh", 1.0)):
        task = build_with(name, **options)
        with torch.no_grad():
            task.loop.log_gain.fill_(math.log(k))
        found[name, k] = response(task, 1e-3)[1:]
    assert found["tanh", 0.5] == pytest.approx((38.9, 0.133), rel=0.02)
    assert found["sub(sigmoid(x),0.5)", 2.0] == pytest.approx(found["tanh", 0.5], rel=1e-3)
    loop = control.feedback(10 * transfer(dc_motor()))
    known = control.step_info(loop)
    assert found["tanh", 1.0] == pytest.approx(
        (known["Overshoot"], known["SettlingTime"]), rel=0.02
    )
    large = response(task, 10.0)[1]
    assert large == pytest.approx(17.0, abs=0.3)


@pytest.mark.claim
def test_without_controller_the_tutorial_s_figures():
    # A gain of 1 V / rad: ζ = 0.643, ω = 46.1 and 7.2 %. It says 0.135 s, python-control 0.130.
    task = build_with("identity", volts=1.0, step=1e-3)
    pole = task.poles()[0][0]
    assert abs(pole) == pytest.approx(46.1, abs=0.1)
    assert -pole.real / abs(pole) == pytest.approx(0.643, abs=1e-3)
    _, beyond, settled = response(task, 1.0)
    assert beyond == pytest.approx(7.2, abs=0.1)
    assert settled == pytest.approx(0.1304, abs=1e-3)


@pytest.mark.claim
def test_sites_refuse_what_cannot_turn_back_or_pushes_and_forced_it_does_not_settle():
    for name, why in (
        ("relu", "odd is False"),
        ("sigmoid", "odd is False"),
        ("silu", "odd is False"),
    ):
        with pytest.raises(RequirementError, match=why):
            build_with(name)
    task = build_with("relu", True, hold_slope=False)
    _, beyond, settled = response(task, 1.0)
    assert beyond > 50
    assert settled == pytest.approx(0.3)  # never
    error, *_ = response(task, -1.0)
    assert bool((error == 1).all())  # nor moves at all
    task = build_with("sigmoid", True, hold_slope=False)
    assert abs(float(response(task, 1e-3)[0][0, -1])) > 10  # pushed away
    slow = build_with("max(x,mul(0.1,x))", True, hold_slope=False, step=1e-3)
    assert response(slow, 1.0)[2] < 0.29


def test_training_the_gain_lowers_overshoot_and_a_held_slope_stays():
    options = {"hold_slope": False, "cost": "overshoot", "horizon": 0.2}
    free = build_with("tanh", **options)
    with torch.no_grad():
        before = float(free.loss(free.select("train")))
    laws.fit(free, 2)
    assert float(free.loss(free.select("train")).detach()) < 0.9 * before
    held = build_with("arctan", gain=0.7, horizon=0.1)
    laws.fit(held)
    with torch.no_grad():
        assert float(held.loop.gain()) == pytest.approx(0.7)
    held = build_with("sub(sigmoid(x),0.5)", gain=0.7)
    assert float(held.loop.gain().detach()) == pytest.approx(2.8)


def test_a_network_s_integral_takes_a_constant_push_away():
    held = {"gain": 1.0, "disturbance": 0.5, "largest": 0.1, "samples": 1, "horizon": 0.6}
    plain = laws.build_task(JointControl, held)
    network = laws.build_task(JointControl, held | {"hidden": 1})
    with torch.no_grad():
        network.loop.inner.weight.copy_(torch.tensor([[0.0, 0.0, 1.0]]))
        network.loop.outer.weight.fill_(0.3)
        error = [
            task.errors(torch.tensor([0.1]).double())[0, -1].abs() for task in (plain, network)
        ]
    assert float(error[0]) == pytest.approx(0.5, rel=0.01)  # 0.5 V at 10 V / rad, of 0.1 rad
    assert float(error[1]) < 0.1 * float(error[0])


def test_the_margin_is_python_control_s():
    for denominator, gain in (([1, 59.2, 0], 2e4), ([1, 3, 3, 1], 4.0), ([1, 0.2, 1, 0], 0.05)):
        plant = transfer_function([gain], denominator)
        _, known, *_ = control.margin(transfer(plant))
        found = phase_margin(plant.A, plant.B, -plant.C)
        assert found == pytest.approx(known, abs=0.01)
    weak = transfer_function([0.1], [1, 1, 1])
    assert phase_margin(weak.A, weak.B, -weak.C) == 180


def test_plants_of_ones_own(tmp_path):
    text = load_plant("[2, 1], [1, 3, 5, 0]")
    (tmp_path / "own.yaml").write_text("A: [[0, 1], [0, -4]]\nB: [[0], [8]]\nC: [1, 0]\nD: 0\n")
    state = load_plant(str(tmp_path / "own.yaml"))
    for plant, known in (
        (text, control.tf([2, 1], [1, 3, 5, 0])),
        (state, control.tf([8], [1, 4, 0])),
    ):
        assert transfer(plant)(2j) == pytest.approx(known(2j))
    slow = {"horizon": 5.0, "step": 0.05, "samples": 1, "largest": 1.0}
    found = laws.fit(laws.build_task(JointControl, slow | {"plant": "[2], [1, 3, 0]"}))
    assert found["val_itae"] < 5e6


def test_a_recorded_response_gives_its_plant_back(tmp_path):
    task = build_with("softsign", horizon=0.3)
    task.pictures(tmp_path)
    plant = load_plant(str(tmp_path / "response.csv"))
    assert transfer(plant)(50j) == pytest.approx(transfer(dc_motor())(50j), rel=0.1)
    with (tmp_path / "response.csv").open() as file:
        assert next(csv.reader(file)) == ["t", "u", "y"]
    written = YAML(typ="safe").load(tmp_path / "closed_loop.yaml")
    loop = control.tf(written["numerator"], written["denominator"])
    assert sorted(loop.poles(), key=np.imag) == pytest.approx(
        sorted((complex(*p) for p in written["poles"]), key=np.imag)
    )
    assert loop(0) == pytest.approx(1)
    t = np.linspace(0, 5, 200)
    u = np.ones(200)
    _, y = control.forced_response(control.tf([3], [1, 0.8, 4]), t, u)
    noisy = y + 0.01 * np.random.default_rng(0).normal(size=200)
    plant = fit_plant(t, u, noisy - noisy[0], "recorded.csv")
    assert sorted(plant.poles, key=np.imag)[1] == pytest.approx(-0.4 + 1.96j, rel=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"plant": "dc_moter"}, "unknown plant 'dc_moter'; nearest: dc_motor. Or '.num., .den.'"),
        ({"plant": "[1], [1, x]"}, "must be numbers in '.num., .den.', but got"),
        ({"plant": "[], [1, 2]"}, "numerator and a denominator that do not begin with 0"),
        ({"plant": "[1, 2], [1, 2]"}, "numerator of lower degree"),
        ({"plant": "[1], [1, 1e6, 0]"}, "step must be at most 2e-06 s for a plant with a pole of"),
        ({"largest": 1e-4}, "largest must be at least smallest, 0.001, but got 0.0001"),
        ({"horizon": 0.01}, "horizon must be at least ten times step"),
        ({"plant": "[1, 0], [1, 2, 3]", "hidden": 3}, "hidden must be 0 for a plant whose output"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ActsearchError, match=message) as caught:
        JointControl(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("own.yaml", "A: [[1]]\n", "must have the keys A, B and C, and may have D, but got A"),
        ("own.yaml", "A: [[1, 2]]\nB: [1]\nC: [1]\n", "must have A .n, n., .* but got shapes"),
        ("own.yaml", "A: [[1]]\nB: [x]\nC: [1]\n", "B of .* must be finite numbers, but got"),
        ("own.yaml", "A: [[1]]\nB: [1]\nC: [1]\nD: 2\n", "and D 0, but got .* D .2.0."),
        ("own.csv", "t,u\n0,1\n", "must have the columns t, u, y, but got t, u"),
        ("own.csv", "t,u,y\n0,1,0\n1,1,2\n", "must rise evenly over at least 20 lines, but got 2"),
    ],
)
def test_files_that_are_no_plant_get_one_line(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidValueError, match=message) as caught:
        load_plant(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_a_response_that_no_such_plant_has_is_refused():
    t = np.arange(50.0)
    for u, y, message in (
        (np.zeros(50), t, "u of own.csv must not be 0 always"),
        (np.ones(50), np.random.default_rng(0).normal(size=50), "but the best leaves .* %"),
    ):
        with pytest.raises(InvalidValueError, match=message):
            fit_plant(t, u, y, "own.csv")


@pytest.mark.parametrize("hidden", [0, 3])
def test_the_loop_is_handed_to_python_control(hidden):
    task = build_with("tanh", hidden=hidden)
    system = control_system(task)
    known = sorted(task.poles()[0].tolist(), key=abs)
    assert sorted(control.poles(system).tolist(), key=abs) == pytest.approx(known, rel=1e-6)
    _, y = control.step_response(system, task.times.numpy())
    _, beyond, _ = response(task, 1e-4)
    assert 100 * max(0.0, y.max() - 1) == pytest.approx(beyond, abs=0.05)
