"""Cosines of gradients: of what is shared alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from actsearch.errors import InvalidValueError, MeasureError
from actsearch.measures import Fitted, build, check
from actsearch.measures.functional.gradient_cosine import gradient_cosine, shared_gradients

X = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))


class Heads(nn.Module):
    """Two heads on a trunk."""

    def __init__(self, names=("one", "other", "same", "negative")):
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Linear(3, 5)
        self.heads = nn.ModuleList([nn.Linear(5, 1), nn.Linear(5, 1)])
        self.names = names

    def forward(self, x):
        return self.heads[0](self.trunk(x).tanh())

    def losses(self, batch):
        one, other = (head(self.trunk(batch[0]).tanh()).square().mean() for head in self.heads)
        found = {"one": one, "other": other, "same": 3 * one, "negative": -one}
        found["alone"] = self.heads[1].weight.sum()
        return {name: found[name] for name in self.names}


def test_a_loss_agrees_with_itself_and_conflicts_with_its_negative():
    values = build("gradient_cosine").values(Fitted(Heads(), {"train": [(X,)]}))
    assert len(values) == 6
    assert values["gradient_cosine/one-same"] == pytest.approx(1)
    assert values["gradient_cosine/one-negative"] == pytest.approx(-1)
    between = values["gradient_cosine/one-other"]
    assert -1 < between < 1
    assert values["gradient_cosine/other-negative"] == pytest.approx(-between)


def test_only_parameters_that_both_reach_count_and_batches_are_averaged():
    model = Heads(("one", "other"))
    cosines = []
    for part in (X[:6], X[6:]):
        gradients = []
        for loss in model.losses((part,)).values():
            of = torch.autograd.grad(loss, model.trunk.parameters(), retain_graph=True)
            gradients.append(torch.cat([g.flatten() for g in of]))
        cosines.append(float(torch.cosine_similarity(*gradients, dim=0)))
    fitted = Fitted(model, {"train": [(X[:6],), (X[6:],)]})
    for draws, expected in ((1, cosines[0]), (16, sum(cosines) / 2)):
        values = build("gradient_cosine", {"draws": draws}).values(fitted)
        assert values == {"gradient_cosine/one-other": pytest.approx(expected, rel=1e-5)}


def test_of_a_gradient_that_is_0_the_cosine_is_0():
    found = gradient_cosine(torch.tensor([[0.0, 0.0], [1e-30, 0.0]]))
    assert found.tolist() == [[0, 0], [0, 1]]


def test_losses_that_share_nothing_are_refused_before_any_training():
    fitted = Fitted(Heads(("one", "alone")), {"train": [(X,)]})
    with pytest.raises(InvalidValueError, match="losses must share parameters, but none of 6 is"):
        check(fitted, [build("gradient_cosine")])
    fitted = Fitted(Heads(("one",)), {"train": [(X,)]})
    with pytest.raises(MeasureError, match="must return at least two losses, but got one"):
        check(fitted, [build("gradient_cosine")])
    with pytest.raises(InvalidValueError, match="draws must be at least 1"):
        build("gradient_cosine", {"draws": 0})


def test_gradients_of_what_needs_none_are_left_alone():
    model = Heads(("one", "other"))
    model.trunk.bias.requires_grad_(False)
    gradients = shared_gradients(list(model.losses((X,)).values()), model.parameters())
    assert gradients.shape == (2, 15)
    assert all(p.grad is None for p in model.parameters())
