"""Networks in C: what they are written from, compiled and run against torch."""

import pytest
import torch
from torch import nn

from actsearch import activation
from actsearch.errors import ExportError
from actsearch.export import c_compiler, c_source, check_c, check_onnx, write_c, write_onnx
from actsearch.export.c_text import counted

compiled = pytest.mark.skipif(c_compiler() is None, reason="no C compiler")

FEW = (
    "relu", "tanh", "sigmoid", "gelu", "silu", "softplus", "elu", "mish", "quadratic_tanh",
    "pade_tanh", "piecewise_linear_gelu", "plan_sigmoid", "hardswish", "squareplus", "rational",
    "bspline", "max(sin(x),mul(a,x))", "erfc(sub(x,arctan(x)))",
)  # fmt: skip
"""Of each way to be written one."""


class Stacked(nn.Module):
    """Several activations of one input side by side."""

    def __init__(self, names):
        super().__init__()
        self.each = nn.ModuleList(activation(name) for name in names)

    def forward(self, x):
        return torch.cat([module(x) for module in self.each], 1)


class Small(nn.Module):
    """One of each layer that is written as a loop, with a shortcut and slopes of channels."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 6, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.slopes = activation("prelu", share="channel", channels=6)
        self.grouped = nn.Conv2d(6, 6, 3, padding="same", groups=3, bias=False)
        self.layer_norm = nn.LayerNorm(6)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.head = nn.Linear(30, 3)

    def forward(self, x):
        x = self.slopes(self.norm(self.conv(x)))
        x = x + torch.tanh(self.grouped(x))
        tokens = x.flatten(2).transpose(1, 2)
        x = x + self.attention(tokens, tokens, tokens, need_weights=False)[0].mT.view_as(x)
        pooled = torch.cat([nn.functional.max_pool2d(x, 2), nn.functional.avg_pool2d(x, 2)], 1)
        x = self.layer_norm(x.mean((2, 3))) * x.amax((2, 3))
        return self.head(torch.cat([x, pooled.flatten(1)[:, :24]], 1)).softmax(1), x


def tuned(module):
    """Weights and statistics that differ from their start."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.2 * torch.rand(tensor.shape, generator=generator))
    return module


@compiled
@pytest.mark.claim
def test_activations_in_c_are_torch_s(tmp_path):
    model, x = Stacked(FEW), torch.linspace(-8, 8, 1001)[None]
    write_c(model, [x], tmp_path / "few.c")
    assert check_c(tmp_path / "few.c").difference <= 1e-6 * 8


@compiled
def test_layers_in_c_are_torch_s_and_a_wrong_file_says_so(tmp_path):
    model, x = tuned(Small()), torch.randn(12, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    assert model.training
    source = write_c(model, [x], tmp_path / "small.c")
    assert model.training
    check_c(tmp_path / "small.c")
    weights = sum(p.numel() for p in model.parameters())
    assert weights * 4 <= source.flash_bytes < (weights + 40) * 4
    text = (tmp_path / "small.c").read_text()
    assert "malloc" not in text
    (tmp_path / "wrong.c").write_text(text.replace("sum +=", "sum -=", 1))
    with pytest.raises(ExportError, match="must give what torch gives, but its test says: largest"):
        check_c(tmp_path / "wrong.c")
    (tmp_path / "none.c").write_text("int main(void) {")
    with pytest.raises(ExportError, match="must compile, but "):
        check_c(tmp_path / "none.c")


@compiled
def test_each_operation_is_counted_and_the_buffers_are_shared(tmp_path):
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2))
    source = c_source(model, [torch.zeros(1, 4)])
    assert source.counts == {"*": 32 + 64 + 16, "+": 32 + 64 + 16, "tanhf": 16}
    assert source.flash_bytes == 4 * sum(p.numel() for p in model.parameters())
    assert source.ram_bytes == 4 * 16  # Tanh in place, and two layers never more
    assert counted("t_x > 0.0f ? t_x : 1e-05f * expm1f(t_x)") == {
        "<": 1, "?": 1, "*": 1, "expm1f": 1,
    }  # fmt: skip
    (tmp_path / "timed.c").write_text(source.text)
    assert check_c(tmp_path / "timed.c", repeats=10).nanoseconds > 0


@pytest.mark.parametrize(
    ("model", "x", "message"),
    [
        (nn.Sequential(nn.Linear(3, 3)).double(), torch.zeros(1, 3).double(), "float32 on the"),
        (nn.Conv3d(1, 1, 1), torch.zeros(1, 1, 2, 2, 2), "but got convolution with .* a volume"),
        (nn.ConvTranspose2d(1, 1, 1), torch.zeros(1, 1, 2, 2), "a transposed convolution"),
        (nn.Upsample(scale_factor=2), torch.zeros(1, 1, 2, 2), "a layer must be one that can be"),
    ],
)
def test_what_has_no_form_in_c_is_told_in_one_line(model, x, message):
    with pytest.raises(ExportError, match=message) as caught:
        c_source(model, [x])
    assert "\n" not in str(caught.value)


def test_a_forward_that_branches_on_values_is_told_in_one_line():
    class Branch(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(ExportError, match="a fixed sequence of tensor operations") as caught:
        c_source(Branch(), [torch.zeros(1, 3)])
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_onnx_takes_any_number_of_samples(tmp_path):
    pytest.importorskip("onnxruntime")
    model, x = tuned(Small()), torch.randn(12, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    write_onnx(model, [x], tmp_path / "small.onnx")
    for rows in (1, 7):
        difference, allowed = check_onnx(tmp_path / "small.onnx", model, [x[:rows]])
        assert difference <= allowed


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_onnx_lacks_is_told_in_one_line(tmp_path):
    pytest.importorskip("onnxruntime")

    class Sorted(nn.Module):
        def forward(self, x):
            return torch.searchsorted(x, x).float()

    file, x = tmp_path / "none.onnx", torch.zeros(2, 3)
    with pytest.raises(ExportError, match=r"forward must be .*searchsorted") as caught:
        write_onnx(Sorted(), [x], file)
    assert "\n" not in str(caught.value)
    file.write_text("no model")
    with pytest.raises(
        ExportError, match=r"ONNX Runtime must run .*none\.onnx, but says: "
    ) as caught:
        check_onnx(file, Sorted(), [x])
    assert "\n" not in str(caught.value)
