"""Gates by what happens to their result, each in the form in which models write it."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from actsearch import find_sites


class Wired(nn.Module):
    """A forward out of a few layers."""

    def __init__(self, forward, fused=8):
        super().__init__()
        self.a, self.b, self.c, self.fused = (
            nn.Linear(4, 4),
            nn.Linear(4, 4),
            nn.Linear(4, 4),
            nn.Linear(4, fused),
        )
        self.wiring = forward

    def forward(self, x):
        return self.wiring(self, x)


def swiglu(m, x):
    return m.c(F.silu(m.a(x)) * m.b(x))


def geglu(m, x):
    left, right = m.fused(x).chunk(2, dim=-1)
    return m.c(left * F.gelu(right))


def squeeze_and_excitation(m, x):
    y = F.relu(m.a(x))
    return m.c(y * torch.sigmoid(m.b(F.elu(m.c(y.mean(0, keepdim=True))))))


def highway(m, x):
    t = torch.sigmoid(m.a(x))
    return m.c(t * torch.tanh(m.b(x)) + (1 - t) * x)


def lstm(m, x):
    i, f, g, o = m.fused(x).chunk(4, dim=-1)
    cell = torch.sigmoid(f) * x + torch.sigmoid(i) * torch.tanh(g)
    return m.c(torch.sigmoid(o) * torch.tanh(cell))


def squared(m, x):
    y = F.relu(m.a(x))
    return m.c(y * y)


def masked(m, x):
    return m.c(F.relu(m.a(x)) * (x > 0))


def scaled(m, x):
    return m.c(torch.sigmoid(m.a(x)) * m.b.weight[0])


def attention(m, x):
    return m.c(torch.softmax(m.a(x) @ m.b(x).T, -1) @ torch.relu(m.b(x)))


def head(m, x):
    return torch.sigmoid(m.c(torch.relu(m.a(x))))


def generator(m, x):
    return torch.tanh(m.c(torch.tanh(m.a(x))))


def parameter(m, x):
    return m.c(F.relu(m.a(x)) * F.softplus(m.b.weight[0]))


@pytest.mark.parametrize(
    ("wiring", "fused", "opened", "protected"),
    [
        (swiglu, 8, [], ["silu"]),
        (geglu, 8, [], ["gelu"]),
        (squeeze_and_excitation, 8, ["relu", "elu"], ["sigmoid"]),
        (highway, 8, ["tanh"], ["sigmoid"]),
        (lstm, 16, ["tanh", "tanh@2"], ["sigmoid", "sigmoid@2", "sigmoid@3"]),
        (squared, 8, ["relu"], []),
        (masked, 8, ["relu"], []),
        (scaled, 8, ["sigmoid"], []),
        (attention, 8, ["relu"], ["softmax"]),
        (head, 8, ["relu"], ["sigmoid"]),
        (generator, 8, ["tanh"], ["tanh@2"]),
        (parameter, 8, ["relu"], ["softplus"]),
    ],
)
@pytest.mark.parametrize("given", [True, False])
def test_gate_or_site(wiring, fused, opened, protected, given):
    sites = find_sites(Wired(wiring, fused), torch.randn(3, 4) if given else None)
    assert sites.method == "fx"
    assert {site.name for site in sites.open} == set(opened)
    assert [site.name for site in sites.protected] == protected
    assert not sites.missed


@pytest.mark.parametrize(
    ("formula", "part"),
    [
        (lambda x: x * torch.sigmoid(x), "sigmoid"),
        (lambda x: x * F.relu6(x + 3) / 6, "relu6"),
        (lambda x: x * torch.tanh(F.softplus(x)), "tanh"),
        (lambda x: 0.5 * x * (1 + torch.tanh(0.7979 * (x + 0.0447 * x**3))), "tanh"),
    ],
)
def test_written_out_by_hand_is_missed_with_the_way_out(formula, part):
    sites = find_sites(Wired(lambda m, x: m.c(formula(m.a(x)))), torch.randn(3, 4))
    assert len(sites) == 0
    reason = dict(sites.missed)[part]
    assert "written out by hand" in reason
    assert "Write it as one call, or as a Site" in reason


def test_a_glu_module_is_missed():
    sites = find_sites(nn.Sequential(nn.Linear(4, 8), nn.GLU(), nn.Linear(4, 2)), torch.randn(3, 4))
    assert len(sites) == 0
    assert "the sigmoid gate inside glu" in {reason for _, reason in sites.missed}
