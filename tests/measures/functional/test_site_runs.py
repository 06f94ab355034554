"""Runs of sites in networks that call them several times."""

import pytest
import torch
from torch import nn

from actsearch import Site
from actsearch.measures.functional.gradient_flow import SiteFlow, gradient_flow
from actsearch.measures.functional.site_runs import site_runs
from actsearch.placement.recurrent import RNN


def recurrent(activation="tanh"):
    torch.manual_seed(0)
    return RNN(2, 3, activation=activation).double(), torch.randn(5, 4, 2, dtype=torch.float64)


def test_each_step_of_a_recurrent_network_has_the_gradient_that_reaches_it_through_time():
    net, x = recurrent()
    (runs,) = site_runs(net, lambda: net(x)[0][-1].square().sum()).values()
    state, entered = torch.zeros(4, 3, dtype=torch.float64), []
    for step in x:
        z = step @ net.weight_ih_l0.T + net.bias_ih_l0 + state @ net.weight_hh_l0.T + net.bias_hh_l0
        entered.append(z)
        state = z.tanh()
    expected = torch.autograd.grad(state.square().sum(), entered)
    for run, z, gradient in zip(runs, entered, expected, strict=True):
        torch.testing.assert_close(run.inputs, z.detach())
        torch.testing.assert_close(run.outputs, z.tanh().detach())
        torch.testing.assert_close(run.gradient, gradient)
        torch.testing.assert_close(run.slope, 1 - z.tanh().square().detach())
    norm = torch.stack(expected).norm()
    (flow,) = gradient_flow(net, lambda: net(x)[0][-1].square().sum())
    assert flow.gradient_norm == pytest.approx(float(norm))


def test_a_unit_that_is_dead_at_the_last_step_alone_is_alive():
    net, x = recurrent("relu")
    x[0], x[-1] = 10.0, -10.0
    with torch.no_grad():
        net.weight_ih_l0.fill_(1.0)
    (runs,) = site_runs(net, lambda: net(x)[0].sum()).values()
    assert SiteFlow.of("last", runs[-1:]).dead == 1
    assert SiteFlow.of("all", runs).dead == 0


def test_two_passes_are_two_runs_and_what_the_loss_does_not_see_has_no_gradient():
    net = nn.Sequential(nn.Linear(2, 3), Site("relu"), nn.Linear(3, 1))
    real, fake = torch.randn(4, 2), torch.randn(6, 2)

    def loss():
        seen, _ = net(real), net(fake)
        return seen.sum()

    (runs,) = site_runs(net, loss).values()
    assert [len(run.inputs) for run in runs] == [4, 6]
    assert runs[0].gradient.any()
    assert not runs[1].gradient.any()
