"""Learned parameters of activations: a group of their own, without weight decay.

Whatever optimiser and scheduler the owner builds.
"""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from actsearch import Placement, activation
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
    learned, weight = (
        group_of(optimizer, model[1].raw_negative_slope),
        group_of(optimizer, model[0].weight),
    )
    assert (learned["weight_decay"], weight["weight_decay"]) == (0.0, 0.01)
    assert (learned["lr"], weight["lr"]) == pytest.approx((0.15, 0.05))
    assert {id(p) for g in optimizer.param_groups for p in g["params"]} == {
        id(p) for p in model.parameters()
    }
    optimizer.step()
    scheduler.step()
    assert kind.add_param_group is torch.optim.Optimizer.add_param_group


LR = torch.optim.lr_scheduler
SCHEDULERS = {
    "cosine": lambda o: LR.CosineAnnealingLR(o, 10, eta_min=1e-3),
    "restarts": lambda o: LR.CosineAnnealingWarmRestarts(o, 4),
    "lambda": lambda o: LR.LambdaLR(o, lambda epoch: 0.9**epoch),
    "warm-up": lambda o: LR.LinearLR(o, 0.1, total_iters=4),
    "sequence": lambda o: LR.SequentialLR(
        o, [LR.LinearLR(o, 0.1, total_iters=3), LR.ExponentialLR(o, 0.8)], [3]
    ),
    "chain": lambda o: LR.ChainedScheduler(
        [LR.LinearLR(o, 0.1, total_iters=3), LR.ExponentialLR(o, 0.8)]
    ),
    "one cycle": lambda o: LR.OneCycleLR(o, max_lr=0.5, total_steps=20),
    "cyclic": lambda o: LR.CyclicLR(o, base_lr=0.01, max_lr=0.1, cycle_momentum=False),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_weights_follow_the_owners_schedule_as_if_alone(model, name):
    with own_group(model, overall=0.5):
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
        scheduler = SCHEDULERS[name](optimizer)
    alone = torch.optim.AdamW(nn.Linear(1, 1).parameters(), lr=0.05)
    reference = SCHEDULERS[name](alone)
    for _ in range(8):
        rates = [group["lr"] for group in optimizer.param_groups]
        assert rates == [alone.param_groups[0]["lr"]] * 2
        for stepped in (optimizer, alone):
            stepped.step()
        for stepped in (scheduler, reference):
            stepped.step()


def test_a_plateau_lowers_both_groups(model):
    with own_group(model):
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
        scheduler = LR.ReduceLROnPlateau(optimizer, patience=0, min_lr=0.02)
    for loss in (1.0, 1.0, 1.0, 1.0):
        scheduler.step(loss)
    assert [group["lr"] for group in optimizer.param_groups] == [0.02, 0.02]


def test_optimisers_of_other_threads_are_left_alone(model):
    original = torch.optim.Optimizer.add_param_group
    built, entered, leave = [], threading.Event(), threading.Event()

    def other():
        built.append(torch.optim.AdamW(model.parameters(), lr=0.1))
        with own_group(model, overall=0.5):
            entered.set()
            leave.wait(60)
            built.append(torch.optim.AdamW(model.parameters(), lr=0.1))

    thread = threading.Thread(target=other)
    with own_group(model, overall=3.0):
        thread.start()
        assert entered.wait(60)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    leave.set()  # the first to enter was the first to leave
    thread.join()
    rates = [[group["lr"] for group in o.param_groups] for o in (*built, optimizer)]
    assert rates == [[0.1], [0.05, 0.05], pytest.approx([0.3, 0.3])]
    assert torch.optim.Optimizer.add_param_group is original


def test_named_parameters_and_given_groups(model):
    with own_group(model):
        optimizer = torch.optim.AdamW(
            [{"params": list(model.named_parameters()), "weight_decay": 0.3}], lr=0.1
        )
    assert group_of(optimizer, model[3].raw_beta)["weight_decay"] == 0.0
    assert group_of(optimizer, model[2].bias)["weight_decay"] == 0.3


def test_groups_for_own_training_code(model):
    optimizer = torch.optim.AdamW(parameter_groups(model, lr=1e-3, weight_decay=1e-2, factor=2.0))
    assert group_of(optimizer, model[1].raw_negative_slope)["lr"] == pytest.approx(2e-3)
    plain = nn.Linear(2, 2)
    assert len(parameter_groups(plain, lr=1e-3, weight_decay=1e-2)) == 1


def told(optimizer):
    """Every group with its options and its parameters' identities."""
    return [
        {k: [id(p) for p in v] if k == "params" else v for k, v in g.items()}
        for g in optimizer.param_groups
    ]


DECAYING = [
    torch.optim.AdamW,
    torch.optim.Adam,
    torch.optim.SGD,
    torch.optim.RMSprop,
    torch.optim.NAdam,
    torch.optim.Adagrad,
]


@pytest.mark.parametrize("factor", [1.0, 0.3])
@pytest.mark.parametrize("kind", DECAYING)
def test_a_placement_gives_the_groups_that_the_search_trained_with(model, kind, factor):
    placement = Placement(sites={}, learning_rate_factor=factor)
    with own_group(model, overall=factor):
        searched = kind(model.parameters(), lr=1e-3, weight_decay=1e-2)
    reused = kind(placement.optimizer_parameters(model, lr=1e-3), weight_decay=1e-2)
    assert told(reused) == told(searched)
    assert len(reused.param_groups) == 2

    def own():
        weights, others = (
            list(model[0].parameters()),
            [*model[2].parameters(), *model[1].parameters()],
        )
        return [
            {"params": weights, "lr": 1e-4},
            {"params": others, "weight_decay": 0.1},
            {"params": model[3].raw_beta},
        ]

    with own_group(model, overall=factor):
        searched = kind(own(), lr=1e-3, weight_decay=1e-2)
    reused = kind(placement.optimizer_parameters(model, lr=1e-3, groups=own()), weight_decay=1e-2)
    assert told(reused) == told(searched)
    assert [group["lr"] for group in reused.param_groups] == [1e-4 * factor, *[1e-3 * factor] * 3]
    assert [group["weight_decay"] for group in reused.param_groups] == [1e-2, 0.1, 0.0, 0.0]


def test_parameters_may_be_given_alone_with_or_without_names(model):
    placement = Placement(sites={}, learning_rate_factor=2.0)
    for given in (model[2:].parameters(), model[2:].named_parameters()):
        optimizer = torch.optim.AdamW(placement.optimizer_parameters(model, lr=0.1, groups=given))
        assert group_of(optimizer, model[3].raw_beta)["weight_decay"] == 0.0
        assert sum(len(group["params"]) for group in optimizer.param_groups) == 3
        assert {group["lr"] for group in optimizer.param_groups} == {0.2}


@pytest.mark.parametrize("overall", [1.0, 0.5])
def test_an_optimiser_without_weight_decay_keeps_its_one_group(model, overall):
    with own_group(model, overall=overall):
        optimizer = torch.optim.LBFGS(
            model.parameters(), lr=0.5, max_iter=5, line_search_fn="strong_wolfe"
        )
        rprop = torch.optim.Rprop(model.parameters(), lr=0.5)
    assert [group["lr"] for group in (*optimizer.param_groups, *rprop.param_groups)] == [
        0.5 * overall
    ] * 2
    x = torch.randn(16, 2)
    before = model[3].raw_beta.detach().clone()

    def closure():
        optimizer.zero_grad()
        loss = (model(x) - 1).square().mean()
        loss.backward()
        return loss

    first = float(closure().detach())
    optimizer.step(closure)
    assert float(closure().detach()) < first
    assert model[3].raw_beta != before
    with own_group(model, factor=3.0):
        split = torch.optim.Rprop(model.parameters(), lr=0.1)
    assert [group["lr"] for group in split.param_groups] == pytest.approx([0.1, 0.3])
