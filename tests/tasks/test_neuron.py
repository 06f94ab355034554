import math

import numpy as np
import pytest
import torch

from actsearch import Placement, find_sites
from actsearch.errors import InvalidValueError, RequirementError
from actsearch.measures.functional.harmonics import harmonic_amplitudes
from actsearch.task import laws
from actsearch_tasks.data.columns import read_columns
from actsearch_tasks.data.spikes import LeakyNeuron
from actsearch_tasks.data.waves import sine
from actsearch_tasks.neuron import RateNeuron

COUNTS = {"r0": 20.0, "gain": 4.0, "slope": 0.3, "samples": 40, "periods": 5, "trials": 100}
COUNTS |= {"frequency": 0.5}
LEARNED = {"activation": "learnable_leaky_relu", "learn": ["negative_slope"]}


class TestNeuron(laws.TaskLaws):
    @pytest.fixture
    def task(self):
        return RateNeuron

    @pytest.fixture
    def small(self):
        return {"samples": 64, "periods": 2}

    @pytest.fixture(params=[{}, {"noise": "none"}, {"batch_size": 16}], ids=str)
    def variant(self, request):
        return request.param


def build_with(activation, seed=0, force=False, **options):
    task = laws.build_task(RateNeuron, options, seed)
    if activation != "relu":
        Placement.uniform(activation, find_sites(task)).apply(task, force=force)
    return task


@pytest.mark.claim
@pytest.mark.parametrize("slope", [0.0, 0.1, 0.3, 1.0])
def test_mean_and_amplitudes_of_the_fitted_neuron_are_those_of_the_formula(slope):
    for samples, tolerance in ((1024, 2e-5), (256, 1e-3)):
        options = {"slope": slope, "r0": 7.0, "samples": samples, "noise": "none", "periods": 1}
        leaky = {"activation": "leaky_relu", "parameters": {"negative_slope": slope}}
        task = build_with(leaky if slope else "relu", **options)
        unit, mean = task.units
        with torch.no_grad():
            task.rest.copy_(7 / mean)
            task.height.copy_(2 * unit / mean)
            task.log_width.zero_()
        found = {name: float(value) for name, value in task.neuron().items()}
        expected = LeakyNeuron(7.0, 2.0, 3.0, slope).amplitudes(8)
        named = ("mean_rate", *(f"c{n}" for n in range(1, 9)))
        for name, value in zip(named, expected, strict=True):
            assert found[name] == pytest.approx(value, abs=tolerance), name
        assert found["alpha"] == pytest.approx(slope)
        assert found["gain"] == pytest.approx(2)


@pytest.mark.claim
def test_a_fit_to_counts_finds_the_neuron_and_tells_that_it_leaks():
    # 10 s at 20 bins a second, 100 trials.
    task = build_with(LEARNED, **COUNTS)
    found = laws.fit(task, 20)
    assert found["val_r0"] == pytest.approx(20, abs=1.0)
    assert found["val_gain"] == pytest.approx(4, abs=0.6)
    assert found["val_alpha"] == pytest.approx(0.3, abs=0.15)
    assert found["val_negative_rates"] == 0
    assert found["val_c2"] == pytest.approx(task.known.amplitudes(2)[2], rel=0.2)
    rectified = laws.fit(build_with("relu", **COUNTS), 20)
    assert rectified["val_deviance"] > found["val_deviance"] + 0.05


@pytest.mark.long
def test_exact_rates_are_fitted_exactly_by_their_own_form_alone():
    options = {"noise": "none", "samples": 128, "periods": 2, "slope": 0.3}
    assert laws.fit(build_with(LEARNED, **options), 20)["val_deviance"] < 1e-4
    for name in ("relu", "identity", "tanh"):
        assert laws.fit(build_with(name, **options), 20)["val_deviance"] > 0.05, name


def test_the_site_refuses_what_is_no_response_and_forced_r0_is_no_rate_at_rest():
    for name, why in (
        ("gelu", "monotone is False"),
        ("softplus", "zero_preserving is False"),
        ("sine", "monotone is False"),
    ):
        with pytest.raises(RequirementError, match=why):
            build_with(name)
    for name in (LEARNED, "softplus"):
        task = build_with(name, force=True, **COUNTS)
        laws.fit(task, 10)
        r0 = float(task.neuron()["r0"])
        rest = float(task(torch.zeros(1, 1, dtype=torch.float64)).detach())
        assert (rest == pytest.approx(r0)) == (name is LEARNED)


def test_deviance_is_that_of_poisson_and_goes_on_where_a_rate_is_negative():
    task = build_with("relu", **COUNTS)
    s, rate = task.select("val")
    found = task(s).detach()
    counts, expected = rate * task.exposure, found * task.exposure
    exact = 2 * torch.distributions.Poisson(counts.clamp_min(1e-9)).log_prob(counts)
    exact -= 2 * torch.distributions.Poisson(expected).log_prob(counts)
    torch.testing.assert_close(task.deviance((s, rate)).detach(), exact)
    with torch.no_grad():
        task.rest.fill_(-1.0)
    loss = task.loss(task.select("train"))
    loss.backward()
    assert loss.isfinite()
    assert task.rest.grad < 0  # up again


def test_amplitudes_are_one_sided():
    t = 2 * math.pi * torch.arange(64, dtype=torch.float64) / 64
    rate = 5 + 2 * torch.sin(t) + 0.5 * torch.cos(3 * t)
    wanted = torch.tensor([2, 0, 0.5], dtype=torch.float64)
    torch.testing.assert_close(harmonic_amplitudes(rate, 3), wanted)


def integrate_and_fire(seconds, trials, seed=0):
    """Spikes of leaky integrate-and-fire neurons under a current in pA that wanders."""
    random = np.random.default_rng(seed)
    step, steps = 1e-3, round(1e3 * seconds)
    current = np.zeros(steps)
    for i in range(1, steps):
        current[i] = 0.99 * current[i - 1] + 30 * random.normal()
    voltage, spikes = np.zeros(trials), []
    for i in range(steps):
        drive = 15 + 0.08 * current[i] + 5 * random.normal(size=trials) * math.sqrt(0.02 / step)
        voltage += step / 0.02 * (drive - voltage)
        fired = voltage > 20
        voltage[fired] = 0
        spikes += [i * step] * int(fired.sum())
    return np.arange(steps) * step, current, np.array(spikes)


@pytest.mark.long
def test_spikes_of_another_neuron_beside_a_stimulus_in_its_own_unit(tmp_path):
    time, current, spikes = integrate_and_fire(20, 20)
    lines = "\n".join(f"{t:.4f},{s:.3f}" for t, s in zip(time, current, strict=True))
    (tmp_path / "stimulus.csv").write_text(f"time,stimulus\n{lines}\n")
    (tmp_path / "spikes.csv").write_text("time\n" + "\n".join(map(str, spikes)) + "\n")
    files = {"data": str(tmp_path / "stimulus.csv"), "spikes": str(tmp_path / "spikes.csv")}
    task = build_with("elu", trials=20, **files)
    assert len(task.tensors[0]) == 399
    assert float(task.tensors[1].mean()) == pytest.approx(len(spikes) / 400, rel=0.01)
    found = laws.fit(task, 20)
    straight = laws.fit(build_with("identity", trials=20, **files), 20)
    assert found["val_deviance"] < straight["val_deviance"]
    assert 0 < found["val_alpha"] < 1
    task.pictures(tmp_path)
    assert (tmp_path / "neuron.png").is_file()


def test_rates_of_ones_own(tmp_path):
    neuron = LeakyNeuron(20.0, 0.05, 200.0, 0.5)
    s = sine(100, 200.0)
    pairs = enumerate(zip(s, neuron.rate(s), strict=True))
    text = "".join(f"{rate},{0.1 * i:.2f},{x}\n" for i, (x, rate) in pairs)
    (tmp_path / "rates.csv").write_text("rate, time, stimulus\n" + text)
    task = build_with(LEARNED, data=str(tmp_path / "rates.csv"))
    assert task.exposure == pytest.approx(0.1)
    found = laws.fit(task, 20)
    assert found["val_gain"] == pytest.approx(0.05, rel=0.02)
    assert found["val_alpha"] == pytest.approx(0.5, abs=0.02)


HEAD = "time,stimulus,rate\n"
EVEN = "".join(f"{i},{i % 3},5\n" for i in range(12))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time,stimulus\n0,1\n", "must have the columns time, stimulus, rate, but got time, stim"),
        ("", "must have the columns time, stimulus, rate, but got none"),
        (HEAD + "0,1\n", "line 2 of .* must have 3 values, but got 2"),
        (HEAD + "0,1,2\n1,,2\n", "stimulus in line 3 of .* must be a finite number, but got ''"),
        (HEAD + "0,1,nan\n", "rate in line 2 of .* must be a finite number, but got 'nan'"),
        (HEAD + "0,1,2\n", "must have at least 10 bins, but got 1"),
        (HEAD + EVEN + "20,1,5\n", "must rise in even steps, but got steps from 1 to 9. Resample"),
        (HEAD + EVEN + "12,1,-5\n", "rate of .* must not be below 0, but got -5"),
        (HEAD + EVEN.replace(",5", ",0"), "must have spikes, under a stimulus that varies, but"),
    ],
)
def test_files_that_are_no_recording_get_one_line(tmp_path, text, message):
    (tmp_path / "own.csv").write_text(text)
    with pytest.raises(InvalidValueError, match=message) as caught:
        RateNeuron(data=str(tmp_path / "own.csv"))
    assert "\n" not in str(caught.value)


def test_spikes_and_options_that_do_not_fit_are_refused(tmp_path):
    stimulus, spikes = tmp_path / "stimulus.csv", tmp_path / "spikes.csv"
    stimulus.write_text("time,stimulus\n" + "".join(f"{i / 10},{i % 3}\n" for i in range(100)))
    spikes.write_text("time\n1\n2500\n")
    files = {"data": str(stimulus), "spikes": str(spikes)}
    with pytest.raises(
        InvalidValueError, match=r"from 0 to 9.9, but got 1 to 2500. Check the unit"
    ):
        RateNeuron(**files)
    spikes.write_text("time\n1\n2\n")
    with pytest.raises(InvalidValueError, match=r"bins of 0.05 s have none of its values"):
        RateNeuron(**files)
    with pytest.raises(InvalidValueError, match=r"bin_width must leave at least 10 bins of 9.9 s"):
        RateNeuron(bin_width=2.0, **files)
    with pytest.raises(InvalidValueError, match="spikes must come with data"):
        RateNeuron(spikes=str(spikes))
    with pytest.raises(InvalidValueError, match="but reading it failed"):
        read_columns(str(tmp_path), ("time",))
    with pytest.raises(InvalidValueError, match=r"no rate is below 0, but got 0.1 and 0.6"):
        RateNeuron(r0=0.1)
