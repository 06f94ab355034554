import dataclasses
import math
import warnings

import numpy as np
import pytest
import torch

import actsearch
from actsearch import Placement
from actsearch.errors import InvalidValueError, UnknownNameError
from actsearch.measures import Fitted, build
from actsearch.task import laws
from actsearch_tasks.data.sequences import load_sequences
from actsearch_tasks.sequence import SequenceTask

ROWS = {"data": "digits_rows", "hidden": 8, "lr": 0.01}
MADE = {"length": 12, "samples": 100}
VARIANTS = [
    {},
    {"cell": "lstm", "recurrent_init": "xavier"},
    {"cell": "gru", "layers": 2, "bidirectional": True, "recurrent_init": "gain"},
    {"data": "adding", "recurrent_init": "identity", **MADE},
    {"data": "copy", **MADE},
    {"data": "text", **MADE},
]


class TestSequence(laws.TaskLaws):
    @pytest.fixture
    def task(self):
        return SequenceTask

    @pytest.fixture
    def small(self):
        return ROWS

    @pytest.fixture(params=VARIANTS, ids=str)
    def variant(self, request):
        return request.param


def build_with(activation, seed=0, **options):
    task = laws.build_task(SequenceTask, options, seed)
    if activation != "tanh":
        Placement.uniform(activation, ["network.recurrent.activation_l0"]).apply(task)
    return task


def at_start(activation, **options):
    """The figures before the first step."""
    task = build_with(activation, **options)
    task.on_fit_start()
    return task, task.figures("val", {})


def norms_back(task):
    (runs,) = task.runs("val").values()
    return torch.stack([run.gradient.norm(dim=1) for run in reversed(runs)])


@pytest.mark.claim
def test_the_gradient_through_a_sigmoid_falls_as_a_power_of_a_quarter():
    task, found = at_start("sigmoid", data="digits")
    norms = norms_back(task)
    weight = task.network.recurrent.weight_hh_l0.detach().double()
    bound = 0.25 * float(torch.linalg.matrix_norm(weight, 2))
    powers = bound ** torch.arange(64, dtype=torch.float64)[:, None]
    assert bool((norms <= norms[0] * powers * (1 + 1e-9)).all())
    assert bound == pytest.approx(0.25, rel=1e-5)
    assert 0.2 < found["gradient_factor"] <= 0.25
    assert 0 < found["gradient_norm/back_63"] < 1e-37


@pytest.mark.claim
def test_swish_has_slopes_above_one_and_loses_the_gradient_sooner_than_tanh():
    z = torch.tensor([1.27846, 0.75179], dtype=torch.float64)
    for name, crossing in zip(("silu", "gelu"), z, strict=True):
        function = actsearch.activation(name).double()
        around = (crossing + torch.tensor([-1e-5, 1e-5], dtype=torch.float64)).requires_grad_()
        (slope,) = torch.autograd.grad(function(around).sum(), around)
        assert slope[0] < 1 < slope[1]
    factors = {name: at_start(name, data="digits")[1] for name in ("silu", "tanh", "relu")}
    silu, tanh, relu = (factors[name]["gradient_factor"] for name in ("silu", "tanh", "relu"))
    assert silu < relu < tanh
    assert silu == pytest.approx(0.5, abs=0.02)  # its slope at 0
    scaled = at_start("silu", data="digits", recurrent_init="gain")[1]["gradient_factor"]
    assert scaled > 1.5 * silu


def test_the_gain_is_that_of_what_stands_at_the_site_and_taken_once():
    task, _ = at_start("silu", data="digits_rows", recurrent_init="gain")
    weight = task.network.recurrent.weight_hh_l0.detach().clone()
    gain = actsearch.properties("silu").backward_gain ** 0.5
    torch.testing.assert_close(weight.T @ weight, gain**2 * torch.eye(64), atol=1e-3, rtol=0)
    task.on_fit_start()
    assert torch.equal(weight, task.network.recurrent.weight_hh_l0)
    again = laws.build_task(SequenceTask, {"data": "digits_rows", "recurrent_init": "gain"})
    again.load_state_dict(task.state_dict())
    again.on_fit_start()
    assert torch.equal(weight, again.network.recurrent.weight_hh_l0)


def test_starts_are_what_they_say():
    identity = laws.build_task(SequenceTask, {**ROWS, "cell": "lstm", "recurrent_init": "identity"})
    layers = identity.network.recurrent
    assert all(torch.equal(block, torch.eye(8)) for block in layers.weight_hh_l0.chunk(4))
    assert layers.bias_ih_l0.tolist() == [0.0] * 8 + [1.0] * 8 + [0.0] * 16
    assert not layers.bias_hh_l0.any()


def test_figures_are_of_the_runs():
    task, found = at_start("relu", **ROWS)
    assert [name for name in found if "/" in name] == [
        f"gradient_norm/back_{back}" for back in (0, 1, 2, 4, 7)
    ]
    norms = norms_back(task).mean(1)
    assert found["gradient_norm/back_4"] == pytest.approx(float(norms[4]))
    assert found["gradient_factor"] == pytest.approx(float((norms[7] / norms[0]) ** (1 / 7)))
    (runs,) = task.runs("val").values()
    z = torch.stack([run.inputs for run in runs])
    assert found["zero_slope"] == pytest.approx(float((z <= 0).double().mean()))
    assert found["dead_units"] == pytest.approx(float((z <= 0).all(0).all(0).double().mean()))
    assert found["slope_above_one"] == 0


def test_each_sequence_has_the_gradient_of_its_own_loss():
    task = build_with("tanh", **ROWS)
    task.splits = dataclasses.replace(task.splits, val=task.splits.val[:1])
    ((first, *_),) = task.runs("val").values()
    x, y = task.select("val")
    z = []
    site = task.network.get_submodule("recurrent.activation_l0")
    site.register_forward_pre_hook(lambda _, given: z.append(given[0]))
    loss = torch.nn.functional.cross_entropy(task(x)[:, 0], y[:, 0])
    (gradient,) = torch.autograd.grad(loss, z[0])
    torch.testing.assert_close(first.gradient.float(), gradient)


def test_measures_of_any_model_see_every_step():
    task = build_with("relu", **ROWS)
    fitted = Fitted(task)
    options = {"quantities": ["dead"], "each_run": True}
    assert len(build("gradient_flow", options).values(fitted)) == 1 + 8
    assert len(fitted.sites[0].inputs) == 8
    assert math.isfinite(build("gradient_ratio").values(fitted)["gradient_ratio"])


def test_problems_of_long_memory_ask_for_what_was_shown():
    found = load_sequences("adding", 9, 50)
    values, marks = found.x.unbind(2)
    assert torch.equal(marks.sum(1), torch.full((50,), 2.0))
    assert torch.equal(marks[:, :4].sum(1), torch.ones(50))
    torch.testing.assert_close((values * marks).sum(1, keepdim=True), found.y)
    assert float(load_sequences("adding", 9, 20_000).y.var()) == pytest.approx(1 / 6, rel=0.03)
    copied = load_sequences("copy", 9, 50)
    assert copied.x.shape == (50, 29)
    assert torch.equal(copied.x[:, :10] - 1, copied.y)
    assert not copied.x[:, 10:19].any()
    assert copied.x[0, 19:].tolist() == [9] + [0] * 9
    text = load_sequences("text", 20, 60)
    assert torch.equal(text.x[:, 1:], text.y[:, :-1])
    assert len(text.x) == 60
    assert text.outputs == text.symbols > 90


def test_series_and_texts_of_ones_own_are_learned(tmp_path):
    rng = np.random.default_rng(0)
    y = np.arange(240) % 2
    phase = rng.uniform(0, 2 * np.pi, (240, 1))
    x = 1e3 * np.sin(np.arange(10) * (1 + y[:, None]) + phase) + 5e3
    np.savez(tmp_path / "own.npz", x=np.stack([x, rng.normal(size=x.shape)], 2), y=y)
    own = {"hidden": 16, "data": str(tmp_path / "own.npz"), "lr": 0.01, "batch_size": 8}
    task = laws.build_task(SequenceTask, own)
    assert task.tensors[0].shape == (240, 10, 2)
    assert laws.fit(task, 10)["val_accuracy"] > 0.9
    np.savez(tmp_path / "own.npz", x=x, y=y)
    assert laws.build_task(SequenceTask, own).tensors[0].shape == (240, 10, 1)
    (tmp_path / "own.txt").write_text("ab" * 2000)
    task = laws.build_task(SequenceTask, {**own, "data": str(tmp_path / "own.txt"), "length": 20})
    assert laws.fit(task, 3)["val_accuracy"] > 0.95
    task.pictures(tmp_path)
    assert (tmp_path / "gradient_through_time.png").is_file()


def test_what_does_not_fit_gets_one_line(tmp_path):
    with pytest.raises(UnknownNameError, match=r"nearest: digits.* Or a file that ends in \.npz"):
        SequenceTask(data="digit")
    with pytest.raises(InvalidValueError, match="bidirectional must be False where 10 steps are"):
        SequenceTask(data="copy", bidirectional=True)
    (tmp_path / "own.txt").write_text("short")
    with pytest.raises(InvalidValueError, match=r"at least 210 characters, .* got 5 and 5\. Short"):
        SequenceTask(data=str(tmp_path / "own.txt"), length=20)
    with pytest.raises(InvalidValueError, match=r"reading it failed: .*No such file"):
        SequenceTask(data=str(tmp_path / "none.txt"))
    np.savez(tmp_path / "own.npz", x=np.zeros((20, 3, 4, 5)), y=np.arange(20) % 2)
    with pytest.raises(InvalidValueError, match=r"must be series \(N, T\) or \(N, T, F\), but got"):
        SequenceTask(data=str(tmp_path / "own.npz"))


def test_gates_can_be_opened():
    task = laws.build_task(SequenceTask, {**ROWS, "cell": "gru"})
    sites = actsearch.find_sites(task, task.example_input_array, include_gates=True)
    gates = [site.name for site in sites if site.kind == "gate"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Placement.uniform("hardsigmoid", gates).apply(task, task.example_input_array)
    assert len(gates) == 2
    assert math.isfinite(laws.fit(task)["val_loss"])
