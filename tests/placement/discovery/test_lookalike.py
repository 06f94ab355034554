import pytest
import torch
from torch import nn

from actsearch.placement.discovery.lookalike import identify, is_activation_module
from actsearch.placement.discovery.torch_functions import SPELLINGS, called, describe, specification


class Swish(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x)


class Kink(nn.Module):
    """A name that says nothing."""

    def forward(self, value):
        return value.abs() - 0.5 * value


class Scale(nn.Module):
    def forward(self, x):
        return 2 * x + 1


class Rows(nn.Module):
    def forward(self, x):
        return x * x.mean(-1, keepdim=True)


class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x.relu()


class Loss(nn.Module):
    def forward(self, x, y):
        return x.relu() - y


class Broken(nn.Module):
    def forward(self, x):
        raise ValueError("only at noon")


class PReLU(nn.Module):
    def __init__(self):
        super().__init__()
        self.slopes = nn.Parameter(torch.zeros(7))

    def forward(self, x):
        return torch.where(x > 0, x, x * self.slopes)


@pytest.mark.parametrize("module", [Swish(), Kink(), Counter(), PReLU()])
def test_activations(module):
    assert is_activation_module(module)
    assert getattr(module, "calls", 0) == 0


@pytest.mark.parametrize(
    "module",
    [Scale(), Rows(), Loss(), Broken(), nn.Identity(), nn.Dropout(), nn.Flatten(), nn.LayerNorm(6)],
)
def test_others(module):
    assert not is_activation_module(module)


def test_identify():
    assert identify(Swish(), "Swish") == ("silu", {})  # the same function, but not the same bits
    assert identify(lambda x: torch.nn.functional.gelu(x, approximate="tanh"), "") == (
        "gelu",
        {"activation": "gelu", "parameters": {"approximate": "tanh"}},
    )
    assert identify(Kink(), "Kink") == ("Kink", {})
    assert identify(Broken(), "Broken") == ("Broken", {})


def test_transformers_table_of_activations():
    from transformers.activations import ACT2CLS, ACT2FN

    linear = {"linear"}
    for name in ACT2CLS:
        if name == "xielu":  # warns of a missing kernel
            continue
        module = ACT2FN[name]
        found = is_activation_module(module) or describe(module)[0] != type(module).__name__
        assert found == (name not in linear), name


def test_calls():
    relu6 = called(torch.clamp, (torch.zeros(1), 0, 6), {})
    assert relu6.name == "relu6"
    assert called(torch.Tensor.clamp, (torch.zeros(1),), {"min": 1e-6}) is None
    assert called(torch.nn.functional.relu, (torch.zeros(1), True), {}).inplace
    assert called(torch.Tensor.tanh_, (torch.zeros(1),), {}).inplace
    assert called(torch.add, (1, 2), {}) is None
    assert called([], (), {}) is None
    assert {spelling.name for spelling in SPELLINGS.values()} >= {
        "relu",
        "gelu",
        "silu",
        "softmax",
        "sigmoid",
    }


def test_specification_only_where_the_bits_agree():
    assert specification("leaky_relu", {"negative_slope": 0.2}) == {
        "activation": "leaky_relu",
        "parameters": {"negative_slope": 0.2},
    }
    assert specification("rrelu", {"lower": 0.1, "upper": 0.3}) == {}
    assert specification("softmax", {}) == {}
    assert describe(nn.PReLU(init=0.1))[1]["parameters"]["negative_slope"] == pytest.approx(0.1)
    uneven = nn.PReLU(2)
    uneven.weight.data = torch.tensor([0.1, 0.2])
    assert describe(uneven) == ("prelu", {})
