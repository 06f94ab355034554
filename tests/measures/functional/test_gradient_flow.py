import pytest
import torch
from torch import nn

from actsearch import Site
from actsearch.errors import InvalidValueError
from actsearch.measures.functional.gradient_flow import (
    dead_units,
    gradient_flow,
    relative_gradient_noise,
    sparsity,
)


def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(3, 4), Site("relu"), nn.Linear(4, 5), Site("tanh"), nn.Linear(5, 1)
    ).double()


def test_measures_what_autograd_gives_by_hand():
    net, x = model(), torch.randn(7, 3, dtype=torch.float64)
    first, second = gradient_flow(net, lambda: net(x).square().mean())
    z = net[0](x).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(net[1:](z).square().mean(), z)
    assert (first.name, second.name) == ("1", "3")
    assert first.gradient_norm == pytest.approx(float(gradient.norm()))
    assert first.gradient_variance == pytest.approx(float(gradient.square().mean()))
    assert first.variance == pytest.approx(float(z.detach().square().mean()))
    assert first.sparsity == pytest.approx(float((z <= 0).double().mean()))
    assert first.kappa == pytest.approx(1 / float((z > 0).double().mean()))
    assert (second.sparsity, second.dead) == (0, 0)


def test_leaves_the_model_as_it_is():
    net, x = model(), torch.randn(7, 3, dtype=torch.float64)
    before = {name: p.clone() for name, p in net.state_dict().items()}
    gradient_flow(net, lambda: net(x).sum())
    assert all(torch.equal(p, before[name]) for name, p in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_an_activation_in_place_changes_nothing():
    net, x = model(), torch.randn(7, 3, dtype=torch.float64)
    expected = gradient_flow(net, lambda: net(x).sum(), ["1"])
    net[1] = nn.ReLU(inplace=True)
    assert gradient_flow(net, lambda: net(x).sum(), ["1"]) == expected


def test_a_site_at_the_input_needs_no_gradient_of_its_own():
    net = nn.Sequential(Site("relu"), nn.Linear(3, 1))
    x = torch.tensor([[-1.0, 2.0, -3.0], [-1.0, -2.0, 3.0]])
    (flow,) = gradient_flow(net, lambda: net(x).sum())
    assert flow.gradient_norm > 0
    assert flow.sparsity == pytest.approx(4 / 6)
    assert flow.dead == pytest.approx(1 / 3)
    assert not x.requires_grad


def test_units_are_counted_along_the_channels():
    image = torch.ones(2, 4, 3, 3)
    image[:, 0] = 0
    image[0, 1] = 0
    assert dead_units(image) == 0.25
    tokens = torch.ones(2, 5, 4)
    tokens[..., 0] = 0
    assert dead_units(tokens) == 0.25
    assert sparsity(tokens) == 0.25
    assert relative_gradient_noise(torch.zeros(3)) == float("inf")


def test_bad_sites_get_one_line():
    net = model()
    with pytest.raises(
        InvalidValueError, match=r"the loss must run through every site, but got none at \['3'\]"
    ):
        gradient_flow(
            net, lambda: net[1](net[0](torch.ones(2, 3, dtype=torch.float64))).sum(), ["1", "3"]
        )
    with pytest.raises(
        InvalidValueError, match="the loss must run through every site, but got none at any"
    ):
        gradient_flow(nn.Linear(2, 2), lambda: torch.ones(()))


def test_units_are_alive_that_are_in_any_run():
    never, first, second = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert dead_units(never[None], first[None]) == 0.5
    assert dead_units(first[None], second[None]) == 0
    assert dead_units(first[None], torch.zeros(1, 3)) == pytest.approx(4 / 5)  # other units
    assert sparsity(never, first) == 0.75
    assert relative_gradient_noise(never, first) == 4
