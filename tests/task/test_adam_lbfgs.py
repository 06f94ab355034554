import copy
from itertools import pairwise

import pytest
import torch
from torch import nn

from actsearch.task.adam_lbfgs import AdamLBFGS


def curve():
    x = torch.linspace(-1, 1, 50, dtype=torch.float64)[:, None]
    return x, (3 * x).sin()


def built(steps=20, iterations=5, lr=1e-2, groups=False):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    params = [{"params": [p]} for p in model.parameters()] if groups else model.parameters()
    return model, AdamLBFGS(params, steps, iterations, lr=lr)


def train(model, optimizer, steps):
    x, y = curve()

    def closure():
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        return loss.detach()

    return [float(optimizer.step(closure)) for _ in range(steps)]


def test_the_first_steps_are_those_of_adamw():
    model, optimizer = built()
    other = copy.deepcopy(model)
    plain = torch.optim.AdamW(other.parameters(), lr=1e-2, weight_decay=0.0)
    assert train(model, optimizer, 20) == train(other, plain, 20)


@pytest.mark.parametrize("groups", [False, True])
def test_it_comes_nearer_than_adam_does(groups):
    alone = train(*built(steps=100, groups=groups), 100)[-1]
    both = train(*built(groups=groups), 100)[-1]
    assert both < 1e-3 * alone


def test_what_is_loaded_goes_on_as_it_would_have():
    model, optimizer = built()
    train(model, optimizer, 25)
    other, again = built()
    other.load_state_dict(model.state_dict())
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert train(model, optimizer, 10) == train(other, again, 10)


def test_single_iterations_search_along_their_line():
    x = torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True)
    optimizer = AdamLBFGS([x], adam_steps=0, iterations=1)

    def rosenbrock():
        optimizer.zero_grad()
        loss = (1 - x[0]).square() + 100 * (x[1] - x[0].square()).square()
        loss.backward()
        return loss.detach()

    losses = [float(optimizer.step(rosenbrock)) for _ in range(60)]
    assert losses[-1] < 1e-12
    assert all(later <= earlier for earlier, later in pairwise(losses))


def test_a_small_loss_is_fitted_as_closely_as_a_large_one():
    def fitted(unit):
        x = torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True)
        optimizer = AdamLBFGS([x], adam_steps=0)

        def closure():
            optimizer.zero_grad()
            loss = unit * ((1 - x[0]).square() + 100 * (x[1] - x[0].square()).square())
            loss.backward()
            return loss.detach()

        return [float(optimizer.step(closure)) / unit for _ in range(80)][-1]

    assert fitted(2.0**-30) == fitted(1.0) < 1e-8
