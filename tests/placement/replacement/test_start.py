"""Where a learnable activation starts: at what stood there, if it can and can still learn.

Else at its published default.
"""

import copy
import functools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from actsearch import Placement, activation
from actsearch.activations import catalogue
from actsearch.placement import applied
from actsearch.placement.replacement.start import (
    LEAST_SENSITIVITY,
    START_TOLERANCE,
    sensitivities,
    start_at,
)

STANDING = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "elu": nn.ELU,
}
LEARNED = sorted(name for name, entry in catalogue().items() if entry().has_learned())
X = torch.linspace(-3, 3, 256).unsqueeze(1)


def network(standing, entry=None):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 64), STANDING[standing](), nn.Linear(64, 1))
    return model if entry is None else Placement.uniform(entry, ["1"]).apply(model)


def published(name):
    """The activation with its defaults given, so that nothing is left to start."""
    return {"activation": name, "parameters": activation(name).values}


def fit(model, steps=100):
    """Fit sin 2x and return the loss."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        F.mse_loss(model(X), (2 * X).sin()).backward()
        optimizer.step()
    return F.mse_loss(model(X), (2 * X).sin()).item()


@functools.cache
def fitted(standing, name=""):
    """Return the loss with what stands there, or with an activation at its default instead."""
    return fit(network(standing, published(name) if name else None))


@pytest.mark.parametrize("standing", STANDING)
@pytest.mark.parametrize("name", LEARNED)
def test_every_learned_parameter_can_learn(name, standing):
    model = network(standing, name)
    before = copy.deepcopy(model[1].state_dict())
    F.mse_loss(model(X), (2 * X).sin()).backward()
    for key, parameter in model[1].named_parameters():
        assert parameter.grad.abs().max() > 1e-4, key
    loss = fit(model)
    for key, value in model[1].named_parameters():
        assert (value - before[key]).abs().max() > 1e-2, key
    # A start at what stood there may train as slowly as that did: a sigmoid is slower here than the
    # default tempered tanh.
    assert loss <= 1.25 * max(fitted("relu", name), fitted(standing)) + 1e-3


@pytest.mark.parametrize("standing", STANDING)
@pytest.mark.parametrize("name", [name for name in LEARNED if activation(name).learn])
def test_the_start_is_near_and_alive_or_the_default(name, standing):
    model = network(standing, name)
    (done,) = applied(model)
    if done.difference is None:
        assert model[1].spec() == activation(name).spec()
    else:
        x = torch.linspace(-6, 6, 1201, dtype=torch.float64)
        with torch.no_grad():
            assert (model[1].plain()(x) - STANDING[standing]()(x)).abs().max() <= START_TOLERANCE
        assert min(sensitivities(model[1], model[1].learn).values()) >= LEAST_SENSITIVITY


@pytest.mark.parametrize(
    ("name", "standing"),
    [("swish", "tanh"), ("swish", "relu"), ("snake", "tanh"), ("acon_c", "tanh")],
)
def test_a_name_alone_is_its_published_default_where_the_form_cannot_follow(name, standing):
    assert network(standing, name)[1].spec() == activation(name).spec()


def test_sensitivities_are_derivatives():
    x = torch.randn(400_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = sensitivities(activation("prelu"), ["negative_slope"])["negative_slope"]
    assert found == pytest.approx(float(x.clamp_max(0).square().mean().sqrt()), rel=0.01)
    assert sensitivities(activation("swish", beta=752.0), ["beta"])["beta"] < 1e-4


@pytest.mark.parametrize(
    ("function", "slope"),
    [(F.relu, 0.0), (lambda x: F.leaky_relu(x, 0.01), 0.01), (lambda x: F.leaky_relu(x, 0.2), 0.2)],
)
def test_exact_where_the_form_can(function, slope):
    fresh, difference = start_at(activation("prelu"), function, ["negative_slope"])
    assert fresh.values == {"negative_slope": slope}
    assert difference == 0.0


def test_sharing_is_kept():
    module = activation("prelu", share="channel", channels=3, channel_dim=-1)
    fresh, _ = start_at(module, F.relu, ["negative_slope"])
    assert fresh.spec() == module.spec() | {"parameters": {"negative_slope": 0.0}}
    assert fresh.raw_negative_slope.shape == (3,)


def test_a_slope_that_may_not_be_zero_starts_at_its_default():
    module = activation("learnable_leaky_relu")
    assert start_at(module, F.relu, module.learn) == (module, None)
    fresh, difference = start_at(module, lambda x: F.leaky_relu(x, 0.01), module.learn)
    assert fresh.values == {"negative_slope": 0.01}
    assert difference == 0.0


def test_what_is_given_stays():
    module = activation("tempered_tanh", scale=2.0)
    fresh, difference = start_at(
        module, lambda x: 2 * torch.tanh(0.5 * x), ["temperature", "offset"]
    )
    assert {k: abs(v) for k, v in fresh.values.items()} == {
        "scale": 2.0,
        "temperature": 0.5,
        "offset": 0.0,
    }
    assert difference < 1e-12
    assert start_at(module, torch.tanh, ["temperature", "offset"]) == (module, None)


def test_a_tempered_tanh_starts_at_tanh_exactly():
    fresh, difference = start_at(
        activation("tempered_tanh", scale=0.7, offset=0.2),
        torch.tanh,
        ["scale", "temperature", "offset"],
    )
    assert {key: abs(value) for key, value in fresh.values.items()} == {
        "scale": 1.0,
        "temperature": 1.0,
        "offset": 0.0,
    }
    assert difference < 1e-12


def test_an_expression_starts_as_a_name_does():
    fresh, difference = start_at(activation("mul(x,sigmoid(mul(a,x)))"), F.silu, ["a"])
    assert fresh.values == {"a": 1.0}
    assert difference < 1e-12
    module = activation("mul(a,tanh(x))", a=3.0)
    fresh, difference = start_at(module, torch.tanh, ["a"])
    assert fresh.values == {"a": 1.0}
    assert start_at(module, F.relu, ["a"]) == (module, None)
    never = activation("log(mul(a,x))")  # NaN below 0
    assert start_at(never, F.relu, ["a"]) == (never, None)
