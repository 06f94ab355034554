"""A placement for a model whose parts were renamed, or of which some are gone."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from actsearch import Placement
from actsearch.errors import ActsearchWarning, PlacementError
from actsearch.placement import SiteEntry, applied


def model(*names):
    return nn.ModuleDict({name: nn.Sequential(nn.Linear(2, 2), nn.ReLU()) for name in names})


def test_a_renamed_layer_fits_again():
    placement = Placement.uniform("tanh", ["old.1", "kept.1"])
    with pytest.raises(PlacementError, match=r"unknown site 'old\.1'"):
        placement.apply(model("new", "kept"))
    net = placement.rename({"old": "new"}).apply(model("new", "kept"))
    assert sorted(one.site for one in applied(net)) == ["kept.1", "new.1"]
    assert placement.sites.keys() == {"old.1", "kept.1"}, "it stays as it was"


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ({"a": "b", "b": "a"}, ["b.0", "b.0@2", "a.0", "ab.0"]),
        ({"a.0": "x"}, ["x", "x@2", "b.0", "ab.0"]),
        ({"a": "p", "a.0": "q"}, ["q", "q@2", "b.0", "ab.0"]),
        ({}, ["a.0", "a.0@2", "b.0", "ab.0"]),
    ],
)
def test_the_longest_beginning_counts(names, found):
    placement = Placement.uniform("tanh", ["a.0", "a.0@2", "b.0", "ab.0"])
    assert list(placement.rename(names).sites) == found


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (
            {"encodr": "x"},
            r"unknown site to rename 'encodr'; nearest: encoder\.1\. Name a site, or",
        ),
        ({"encoder": "head"}, r"two would be 'head\.1'\. Choose others"),
    ],
)
def test_what_cannot_be_renamed_is_told_in_one_line(names, says):
    placement = Placement.uniform("tanh", ["encoder.1", "head.1"])
    with pytest.raises(PlacementError, match=says) as error:
        placement.rename(names)
    assert "\n" not in str(error.value)


def test_a_difference_names_the_sites():
    here = Placement.uniform("relu", ["1", "3"])
    there = Placement(sites={"1": SiteEntry(activation="relu"), "5": SiteEntry(activation="elu")})
    assert here.diff(there) == {"3": (here.sites["3"], None), "5": (None, there.sites["5"])}
    assert there.diff(there) == {}


def test_what_fits_is_placed_and_the_rest_is_told():
    placement = Placement.uniform("tanh", ["a.1", "gone.1", "lost.1"])
    net = model("a", "b")
    with pytest.warns(ActsearchWarning, match=r"2 of the placement's sites are left out.*gone\.1"):
        placement.apply(net, strict=False)
    assert [one.site for one in applied(net)] == ["a.1"]
    with pytest.raises(PlacementError, match="does not fit"):
        Placement.uniform("tanh", ["gone.1"]).apply(model("a"), strict=False)


@pytest.mark.filterwarnings("ignore:`torch.jit.*` is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # of numbers that never change
@pytest.mark.parametrize("name", ["swish", "rational", "arctan_surrogate"])
def test_a_placed_model_can_be_traced(name):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.act = nn.Linear(3, 3), nn.ReLU()

        def forward(self, x):
            return self.act(F.relu(self.first(x)) + x)

    net = Placement.uniform(name, ["act", "relu"]).apply(Net(), torch.randn(1, 3)).eval()
    traced = torch.jit.trace(net, torch.randn(2, 3))
    x = torch.randn(4, 3)
    torch.testing.assert_close(traced(x), net(x))
