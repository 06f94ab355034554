"""Every activation goes through torch.compile and ONNX with the same values.

What cannot is listed with its reason.
"""

import io

import numpy as np
import pytest
import torch
from torch import nn

from actsearch.activations import Parameter, catalogue

# By name, why ONNX export cannot take it. None at present.
NO_ONNX: dict[str, str] = {}
# By name, how far ONNX's own version is off, and why.
COARSE_IN_ONNX = {"logsigmoid": 1e-4}  # it is written as log(sigmoid(x))


class All(nn.Module):
    """Every activation on the same input, stacked: one trace instead of a hundred."""

    def __init__(self, learned, names=None):
        super().__init__()
        self.names = (
            [name for name in catalogue() if name not in NO_ONNX] if names is None else names
        )
        self.each = nn.ModuleList(
            learned_or_fixed(catalogue()[name], learned) for name in self.names
        )

    def forward(self, x):
        return torch.stack([module(x) for module in self.each])


def learned_or_fixed(entry, learned):
    if not learned:
        return entry(learn=()).eval()
    return entry(
        learn=[k for k, a in entry.arguments.items() if isinstance(a, Parameter) and a.learnable]
        or None
    ).eval()


def gradients(module, x):
    x = x.detach().requires_grad_()
    y = module(x)
    parameters = list(module.parameters())
    return (y.detach(), *torch.autograd.grad(y.sum(), [x, *parameters], allow_unused=True))


# torch's own tracing and code generation raise several.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("backend", "learned", "every"),
    [
        ("aot_eager", True, 5),
        *(
            pytest.param(backend, learned, 1, marks=pytest.mark.long)
            for backend in ("aot_eager", "inductor")
            for learned in (True, False)
        ),
    ],
)
def test_compiled_values_and_gradients_are_the_same(backend, learned, every):
    torch._dynamo.reset()
    module = All(learned, list(catalogue())[::every]).eval()
    x = torch.randn(64)
    compiled = torch.compile(module, backend=backend, fullgraph=True)
    for eager, same in zip(gradients(module, x), gradients(compiled, x), strict=True):
        if eager is not None:
            torch.testing.assert_close(same, eager, rtol=1e-4, atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("learned", [False, True])
def test_onnx_gives_the_same_values(learned):
    onnxruntime = pytest.importorskip("onnxruntime")
    module = All(learned).eval()
    x = torch.linspace(-8, 8, 101)
    buffer = io.BytesIO()
    torch.onnx.export(module, (x,), dynamo=True, verbose=False).save(buffer)
    session = onnxruntime.InferenceSession(buffer.getvalue(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    expected = module(x).detach().numpy()
    worst = np.abs(found - expected).max(axis=1) / (1 + np.abs(expected).max(axis=1))
    assert {
        n: float(w)
        for n, w in zip(module.names, worst, strict=True)
        if not w < COARSE_IN_ONNX.get(n, 1e-5)
    } == {}
