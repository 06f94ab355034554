"""What tells the calls of one owner apart: their number, but for a loop and calls written out."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from actsearch import Placement, find_sites


class Steps(nn.Module):
    """The same modules, functions and order of calls, by a loop or written out."""

    def __init__(self, written_out):
        super().__init__()
        self.fc, self.written_out = nn.Linear(4, 4), written_out

    def forward(self, x):
        if self.written_out:
            x = torch.tanh(self.fc(x))
            return torch.tanh(self.fc(x))
        for _ in range(2):
            x = torch.tanh(self.fc(x))
        return x


@pytest.mark.parametrize("given", [True, False])
def test_the_instruction_tells_a_loop_from_calls_written_out(given):
    """The case that path and number of the call cannot tell: both run the same operations."""
    x = torch.randn(3, 4) if given else None
    names = {
        written_out: [site.name for site in find_sites(Steps(written_out), x, include_gates=True)]
        for written_out in (True, False)
    }
    assert names == {True: ["tanh", "tanh@2"], False: ["tanh"]}


class Branches(nn.Module):
    """Two calls of one function in the branches of one forward, and one after them."""

    def __init__(self, otherwise):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.otherwise = otherwise

    def forward(self, x):
        x = F.relu(self.a(x)) if x.sum() > 0 else self.otherwise(self.b(x))
        return F.relu(self.c(x))


@pytest.mark.parametrize("sign", [1, -1])
def test_branches_of_as_many_calls_share_their_sites(sign):
    """Either branch makes the first call, so a placement found on one fits the other."""
    model, x = Branches(lambda y: F.relu(y)), torch.ones(3, 4)
    assert [site.name for site in find_sites(model, sign * x)] == ["relu", "relu@2"]
    Placement.uniform("tanh", ["relu@2"]).apply(model, sign * x)
    for each, layer in ((x, model.a), (-x, model.b)):
        assert torch.equal(model(each), torch.tanh(model.c(F.relu(layer(each)))))


def test_a_branch_of_fewer_calls_moves_those_that_follow():
    """What counting costs: the last call is the first here, so the other site's, and stays ReLU.

    Instructions would not be counted wrongly, but a forward would have to look at its own stack at
    every call.
    """
    model, x = Branches(lambda y: y), torch.ones(3, 4)
    assert [site.name for site in find_sites(model, x)] == ["relu", "relu@2"]
    Placement.uniform("tanh", ["relu@2"]).apply(model, x)
    assert torch.equal(model(x), torch.tanh(model.c(F.relu(model.a(x)))))
    assert torch.equal(model(-x), F.relu(model.c(model.b(-x))))
