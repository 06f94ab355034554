"""Learned parameters of activations: their own group, no weight decay, whatever optimiser and scheduler the owner builds."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from actsearch import activation
from actsearch.placement.optimiser import own_group, parameter_groups


@pytest.fixture
def model():
    return nn.Sequential(nn.Linear(2, 3), activation("prelu"), nn.Linear(3, 1), activation("swish"))


def group_of(optimizer, parameter):
    (group,) = [g for g in optimizer.param_groups if any(p is parameter for p in g["params"])]
    return group


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.SGD, torch.optim.RMSprop])
def test_split_off_in_the_owners_own_optimiser(model, kind):
    with own_group(model, factor=3.0, overall=0.5):
        optimizer = kind(model.parameters(), lr=0.1, weight_decay=0.01)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    learned, weight = group_of(optimizer, model[1].raw_negative_slope), group_of(optimizer, model[0].weight)
    assert (learned["weight_decay"], weight["weight_decay"]) == (0.0, 0.01)
    assert (learned["lr"], weight["lr"]) == pytest.approx((0.15, 0.05))
    assert {id(p) for g in optimizer.param_groups for p in g["params"]} == {id(p) for p in model.parameters()}
    optimizer.step()
    scheduler.step()
    assert kind.add_param_group is torch.optim.Optimizer.add_param_group


def test_named_parameters_and_given_groups(model):
    with own_group(model):
        optimizer = torch.optim.AdamW([{"params": list(model.named_parameters()), "weight_decay": 0.3}], lr=0.1)
    assert group_of(optimizer, model[3].raw_beta)["weight_decay"] == 0.0
    assert group_of(optimizer, model[2].bias)["weight_decay"] == 0.3


def test_groups_for_own_training_code(model):
    optimizer = torch.optim.AdamW(parameter_groups(model, lr=1e-3, weight_decay=1e-2, factor=2.0))
    assert group_of(optimizer, model[1].raw_negative_slope)["lr"] == pytest.approx(2e-3)
    plain = nn.Linear(2, 2)
    assert len(parameter_groups(plain, lr=1e-3, weight_decay=1e-2)) == 1
