"""What is written in C against torch, by activation and for a whole network, and what it costs."""

import ctypes
import subprocess

import numpy as np
import pytest
import torch
from torch import nn

from actsearch import activation
from actsearch.activations import catalogue
from actsearch.export import c_compiler, c_source, check_c, check_onnx, write_c, write_onnx
from actsearch.export.cost import cycles, operations
from actsearch.search.training.seeds import derive
from actsearch.task import laws
from actsearch_tasks.edge import Edge
from actsearch_tasks.edge.pictures import errors_and_costs

pytestmark = [
    pytest.mark.claim,
    pytest.mark.long,
    pytest.mark.skipif(c_compiler() is None, reason="no C compiler"),
]

SPACE = (
    "relu", "hardtanh", "clipped_relu", "softsign", "quadratic_tanh", "pade_tanh",
    "piecewise_linear_tanh", "quadratic_sigmoid", "piecewise_linear_sigmoid", "plan_sigmoid",
    "quick_gelu", "quadratic_gelu", "piecewise_linear_gelu", "hardswish", "tanh", "sigmoid", "gelu",
)  # fmt: skip


class Apart(nn.Module):
    """Activations of one input, in rows of their own."""

    def __init__(self, names):
        super().__init__()
        self.each = nn.ModuleList(activation(name) for name in names)

    def forward(self, x):
        return torch.stack([module(x) for module in self.each], 1)


def ran(model, x, folder):
    """What a compiled model makes of one sample."""
    write_c(model, [x], folder / "network.c")
    library = folder / "network.so"
    command = [c_compiler(), "-std=c99", "-O2", "-shared", "-fPIC", folder / "network.c"]
    subprocess.run([*command, "-o", library, "-lm"], check=True, timeout=300)
    with torch.no_grad():
        expected = model.eval()(x).numpy()
    found = np.empty_like(expected)
    pointer = np.ctypeslib.ndpointer(np.float32, flags="C_CONTIGUOUS")
    network = ctypes.CDLL(str(library)).network
    network.argtypes, network.restype = [pointer, pointer], None
    network(x.numpy(), found)
    return found[0], expected[0]


def test_every_activation_in_c_is_exact_to_rounding(tmp_path, claim):
    names, x = tuple(catalogue()), torch.linspace(-8, 8, 5001)[None]
    found, expected = ran(Apart(names), x, tmp_path)
    with torch.no_grad():
        exact = [activation(name).plain().eval()(x[0].double()).numpy() for name in names]
    off = {
        what: (np.abs(one - exact) / np.maximum(1, np.abs(exact))).max(1)
        for what, one in (("C", found), ("torch", expected))
    }
    for what, each in off.items():
        worst = sorted(zip(each, names, strict=True), reverse=True)[:5]
        shown = ", ".join(f"{name} {value:.1e}" for value, name in worst)
        told = f"{what} in float32 off float64, {len(names)} activations on [-8, 8]: the furthest"
        claim(told, shown, "<= 2e-7, or torch's own" if what == "C" else "")
    further = off["C"] > np.maximum(2e-7, off["torch"])
    assert [name for name, one in zip(names, further, strict=True) if one] == []


@pytest.mark.parametrize("name", SPACE)
def test_what_an_element_costs(name, tmp_path, claim):
    x = torch.linspace(-8, 8, 5001)[None]
    write_c(activation(name), [x], tmp_path / "one.c")
    time = check_c(tmp_path / "one.c", repeats=2000).nanoseconds / x.numel()
    table = errors_and_costs()
    other, error, *_ = table.get(name, ("", 0.0))
    counts = c_source(activation(name), [x[:, :1]]).counts
    found, expected = ran(activation(name), x, tmp_path)
    off = float(np.abs(found - expected).max())
    shown = f"{off:.1e}; {time:.2f} ns; {error:.4f}; {operations(counts)}, {cycles(counts)}"
    claim(f"{name} in C: off torch; time; off {other or 'nothing'}; operations, cycles", shown)


@pytest.mark.parametrize("name", ["tanh", "pade_tanh", "gelu", "piecewise_linear_gelu"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_trained_network_in_c_and_onnx_is_torch_s(name, tmp_path, claim):
    pytest.importorskip("onnxruntime")
    task = laws.build_task(Edge, {"start": name}, derive(0, "edge"))
    accuracy = laws.fit(task, 15)["val_accuracy"]
    rows = task.select("test")[0]
    write_c(task.eval(), [rows], tmp_path / "network.c")
    checked = check_c(tmp_path / "network.c", repeats=20)
    write_onnx(task, [rows], tmp_path / "network.onnx")
    difference, allowed = check_onnx(tmp_path / "network.onnx", task, [rows])
    largest = allowed / 1e-6
    shown = (
        f"{checked.difference / largest:.1e}, {difference / largest:.1e}; {accuracy:.3f};"
        f" {checked.nanoseconds:.0f} ns"
    )
    what = "64-32-32-10 on digits, C and ONNX over the largest logit; accuracy; a sample in C"
    claim(f"{what}, {name}", shown, "both <= 1e-6")


def test_weights_in_bytes_change_little(claim):
    task = laws.build_task(Edge, {"quantise": "int8"}, 0)
    logged = laws.fit(task, 15)
    plain = laws.fit(laws.build_task(Edge, {}, 0), 15)
    shown = (
        f"{logged['val_quantisation_error']:.4f}; {logged['val_accuracy']:.4f},"
        f" {plain['val_accuracy']:.4f}"
    )
    claim(
        "edge, weights in bytes: change of the logits; accuracy with and without", shown, "< 0.03"
    )
    assert logged["val_quantisation_error"] < 0.03
    assert abs(logged["val_accuracy"] - plain["val_accuracy"]) < 0.02
