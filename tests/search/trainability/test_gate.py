"""The gate refuses what cannot be trained, says why, and lets the rest through."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from actsearch.activations import activation
from actsearch.errors import InvalidValueError, UnknownNameError
from actsearch.placement import Placement, Site, find_sites
from actsearch.search import Gate


def digits(count=64):
    x, y = load_digits(return_X_y=True)
    x = torch.tensor(x[:count] / 16, dtype=torch.float32).view(-1, 1, 8, 8)
    return (x - x.mean()) / x.std(), torch.tensor(y[:count])


def vgg():
    torch.manual_seed(0)
    layers = []
    for channels in ((1, 8), (8, 8), (8, 16), (16, 16)):
        layers += [nn.Conv2d(*channels, 3, padding=1), nn.BatchNorm2d(channels[1]), nn.ReLU()]
    return nn.Sequential(*layers, nn.AvgPool2d(8), nn.Flatten(), nn.Linear(16, 10))


@pytest.fixture(scope="module")
def gate():
    return Gate(vgg(), digits(), nn.functional.cross_entropy)


GOOD = """
    relu leaky_relu elu selu gelu silu mish tanh sigmoid softplus softsign prelu sine identity square abs swish hardswish
    mul(x,tanh(x)) negative(x) mul(10,x) mul(0.1,x)
"""


@pytest.mark.parametrize("good", GOOD.split())
def test_what_can_be_trained_passes(gate, good):
    verdict = gate.check(good)
    assert verdict.passed, verdict.reason
    assert verdict.reason == ""


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        ("log(x)", "not finite"),
        ("sqrt(x)", "not finite"),
        ("exp(exp(x))", "not finite"),
        ("reciprocal(x)", "pole"),
        ("min(-50,x)", "constant"),
        ("sub(x,x)", "constant"),
        ("cube(cube(x))", "signal"),
        ("sqrtabs(add(3,mish(x)))", "rehearsal"),
        ("mul(1e-6,x)", "rehearsal"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_the_reason(gate, bad, word):
    verdict = gate.check(bad)
    assert not verdict
    assert verdict.reason.startswith(word), verdict.reason


def test_the_model_and_the_random_state_are_left_alone():
    model, batch = vgg(), digits()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    types = [type(module) for module in model]
    state = torch.get_rng_state()
    Gate(model, batch, nn.functional.cross_entropy).check("gelu")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [type(module) for module in model] == types
    assert torch.equal(state, torch.get_rng_state())


def test_a_verdict_does_not_depend_on_what_was_checked_before(gate):
    first = gate.check("silu")
    gate.check("cube(cube(x))")
    gate.check("prelu")
    assert gate.check("silu") == first


def test_a_placement_with_one_bad_site_names_it(gate):
    names = [site.name for site in find_sites(vgg())]
    good = Placement.uniform("gelu", names)
    assert gate.check(good).passed
    mixed = Placement.model_validate(
        {"schema": 1, "sites": {**good.sites, names[2]: {"activation": "log(x)"}}}
    )
    verdict = gate.check(mixed)
    assert not verdict
    assert f"site {names[2]}" in verdict.reason


def test_activations_as_modules_and_as_specifications(gate):
    assert gate.check(activation("leaky_relu", negative_slope=0.2)).passed
    assert gate.check({"activation": "leaky_relu", "parameters": {"negative_slope": 0.2}}).passed


def test_an_unknown_name_is_an_error_and_not_a_refusal(gate):
    with pytest.raises(UnknownNameError):
        gate.check("rleu")


def test_a_sites_requirement():
    model = nn.Sequential(nn.Linear(4, 8), Site("tanh", requires="bounded"), nn.Linear(8, 2))
    checked = Gate(model, torch.randn(16, 4)).check("relu")
    assert not checked
    assert checked.reason.startswith("requirement: 1 requires 'bounded'")


def test_the_range_is_what_the_site_sees():
    torch.manual_seed(0)
    positive = nn.Sequential(
        nn.Linear(4, 8), nn.Softplus(), nn.Identity(), nn.ReLU(), nn.Linear(8, 2)
    )
    sites = [site.name for site in find_sites(positive)]
    assert sites == ["1", "3"]
    gate = Gate(positive, torch.randn(64, 4))
    root = Placement.model_validate(
        {"schema": 1, "sites": {"3": {"activation": "sqrt(add(x,0.5))"}}}
    )
    assert gate.check(root).passed  # after softplus the input is positive
    root = Placement.model_validate(
        {"schema": 1, "sites": {"1": {"activation": "sqrt(add(x,0.5))"}}}
    )
    assert gate.check(root).reason.startswith("not finite")


def test_duplicates_are_refused_where_asked():
    gate = Gate(vgg(), digits(), nn.functional.cross_entropy, unique=True)
    assert gate.check("add(x,tanh(x))").passed
    verdict = gate.check("add(tanh(x),x)")
    assert verdict.reason == "duplicate: equal to add(x,tanh(x))"
    assert Gate(vgg(), digits()).check("add(x,tanh(x))").passed


def test_inputs_of_several_kinds_and_no_loss():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.act, self.head = nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)

        def forward(self, x, y):
            return {"out": self.head(self.act(self.first(x + y)))}

    torch.manual_seed(0)
    x, y = torch.randn(32, 4), torch.randn(32, 4)
    assert Gate(Pair(), ((x, y), None)).check("gelu").passed
    assert Gate(Pair(), {"x": x, "y": y}).check("gelu").passed


def test_a_model_without_sites():
    with pytest.raises(InvalidValueError, match="the model must have an open site"):
        Gate(nn.Linear(3, 3), torch.randn(8, 3))
