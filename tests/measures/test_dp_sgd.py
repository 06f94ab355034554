"""DP-SGD against a literal step, the distribution of its noise, and published accountants."""

from __future__ import annotations

import math
import sys

import pytest
import torch
import torch.nn.functional as F
from opacus.accountants import RDPAccountant
from scipy.stats import norm
from torch import nn

from actsearch.errors import InvalidValueError, TaskError
from actsearch.measures.dp_sgd import (
    DPSGD,
    PoissonLoader,
    PrivacyBudget,
    noise_for,
    refuse_batch_norm,
    require_opacus,
)

pytestmark = pytest.mark.claim
PAGE = {"delta": 3.5e-4, "rate": 0.089, "steps": 449}


def squared(model, batch):
    x, y = batch
    return F.mse_loss(model(x), y)


def training(model, steps=PAGE["steps"]):
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    budget = PrivacyBudget(2.0, delta=PAGE["delta"])
    return DPSGD(optimizer, budget, 1000, 89, steps)


@pytest.mark.parametrize(("epsilon", "noise", "loose"), [(1, 5.586, 1.11), (2, 3.135, 2.23)])
def test_noise_keeps_epsilon_and_an_older_accountant_is_a_tenth_looser(epsilon, noise, loose):
    found = noise_for(float(epsilon), **PAGE)
    assert found == pytest.approx(noise, rel=0.01)
    older = RDPAccountant()
    older.history = [(found, PAGE["rate"], PAGE["steps"])]
    assert older.get_epsilon(PAGE["delta"]) == pytest.approx(loose, rel=0.02)


def test_a_whole_batch_once_is_the_gaussian_mechanism():
    """There δ is known of ε and σ by a formula (Balle and Wang, 2018)."""
    noise = noise_for(1.0, 1e-3, 1.0, 1)

    def delta(epsilon):
        above, below = 1 / (2 * noise) - epsilon * noise, -1 / (2 * noise) - epsilon * noise
        return norm.cdf(above) - math.exp(epsilon) * norm.cdf(below)

    assert delta(1.0) <= 1e-3 < delta(0.97)


def test_a_step_without_noise_is_the_sum_of_clipped_gradients_over_the_mean_size():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    x, y = torch.randn(7, 3), torch.randn(7, 1)
    before = [p.detach().clone() for p in model.parameters()]
    loss = squared(model, (x, y)).item()
    total = [torch.zeros_like(p) for p in before]
    clipped = 0
    for row in range(7):
        one = squared(model, (x[row : row + 1], y[row : row + 1]))
        gradients = torch.autograd.grad(one, list(model.parameters()))
        length = math.sqrt(sum(float(g.square().sum()) for g in gradients))
        clipped += length > 1.0
        total = [t + g * min(1.0, 1.0 / length) for t, g in zip(total, gradients, strict=True)]
    assert 0 < clipped < 7
    private = training(model)
    private.optimizer.noise_multiplier = 0.0
    assert private.take(model, (x, y), squared) == pytest.approx(loss)
    private.optimizer.step()
    for parameter, start, gradient in zip(model.parameters(), before, total, strict=True):
        torch.testing.assert_close(parameter.data, start - gradient / 89, atol=1e-6, rtol=1e-4)
    assert private.clipped_share == pytest.approx(clipped / 7)


def test_noise_is_drawn_for_each_number_also_where_the_batch_is_empty():
    torch.manual_seed(0)
    model = nn.Linear(200, 200)
    before = model.weight.detach().clone()
    private = training(model)
    loss = private.take(model, (torch.zeros(0, 200), torch.zeros(0, 200)), squared)
    private.optimizer.step()
    moved = model.weight.detach() - before
    assert loss == 0
    assert float(moved.std()) == pytest.approx(private.noise / 89, rel=0.02)
    assert abs(float(moved.mean())) < 4 * float(moved.std()) / 200
    assert private.epsilon > 0
    assert private.clipped_share == 0


def test_epsilon_grows_with_the_steps_to_what_was_asked_for():
    model = nn.Linear(3, 1)
    private = training(model)
    spent = [private.epsilon]
    for step in range(PAGE["steps"]):
        private.take(model, (torch.ones(2, 3), torch.ones(2, 1)), squared)
        private.optimizer.step()
        if step in (0, 99, PAGE["steps"] - 1):
            spent.append(private.epsilon)
    assert spent == sorted(spent)
    assert spent[0] == 0
    assert 1.98 < spent[-1] <= 2.0


def test_each_row_is_drawn_alone_with_the_same_probability():
    torch.manual_seed(0)
    loader = PoissonLoader((torch.arange(50), {"again": torch.arange(50)}), 10)
    drawn = torch.zeros(2000, 50)
    for batch in range(400):
        for part, (row, named) in enumerate(loader):
            assert torch.equal(row, named["again"])
            drawn[5 * batch + part, row] = 1
    assert len(loader) == 5
    assert drawn.mean(0).numpy() == pytest.approx(0.2, abs=0.04)
    assert float(drawn.sum(1).var()) == pytest.approx(50 * 0.2 * 0.8, rel=0.1)
    assert abs(float(torch.corrcoef(drawn.T)[0, 1])) < 0.1
    torch.manual_seed(0)
    again = PoissonLoader(torch.arange(50), 10)
    assert torch.equal(next(iter(again)), drawn[0].nonzero().flatten())


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (PrivacyBudget(0.0), r"^epsilon of privacy must be a finite number above 0, but got 0\.0"),
        (PrivacyBudget(1.0, clip=-1.0), r"^clip of privacy must be .* got -1\.0"),
        (PrivacyBudget(1.0, delta=0.02), r"^delta of privacy must be .* below 1/N, 0\.01 of 100"),
        (PrivacyBudget(1e-3), r"^epsilon of privacy must be large enough for 5 steps"),
    ],
)
def test_what_no_training_can_keep_is_told_in_one_line(budget, message):
    optimizer = torch.optim.SGD(nn.Linear(2, 2).parameters())
    with pytest.raises(InvalidValueError, match=message) as caught:
        DPSGD(optimizer, budget, 100, 10, 5)
    assert "\n" not in str(caught.value)


def test_an_endless_training_batch_normalisation_and_a_missing_library_are_refused(monkeypatch):
    with pytest.raises(InvalidValueError, match="must be known before, but got inf"):
        training(nn.Linear(2, 2), steps=math.inf)
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    with pytest.raises(InvalidValueError, match="but got BatchNorm1d at '1'"):
        refuse_batch_norm(model)
    monkeypatch.setitem(sys.modules, "opacus", None)
    with pytest.raises(TaskError, match=r"^privacy needs Opacus.*Install actsearch\[privacy\]\.$"):
        require_opacus()
