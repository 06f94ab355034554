"""How smooth a network is: what its activations allow, and what is seen along segments."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from actsearch.errors import InvalidValueError, MeasureError
from actsearch.measures import Fitted, build, check, missing
from actsearch.placement import Site

X = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))


def network(*activations, out=3, size=16):
    torch.manual_seed(0)
    layers, inputs = [], 6
    for activation in activations:
        layers += [nn.Linear(inputs, size), Site(activation)]
        inputs = size
    return nn.Sequential(*layers, nn.Linear(inputs, out))


def values(model, name, rows=X, **options):
    return build(name, options).values(Fitted(model, {"val": [(rows,)]}))


@pytest.mark.parametrize(
    ("activations", "expected"),
    [
        (("tanh", "silu"), 3),
        (("tanh", "elu"), 1),
        (("elu", "relu"), 0),
        (("relu", "hardshrink"), -1),
        (("bspline",), 2),
    ],
)
def test_the_least_smooth_activation_decides(activations, expected):
    assert values(network(*activations), "smoothness") == {"smoothness": expected}


@pytest.mark.parametrize(("activation", "smooth"), [("tanh", 3), ("elu", 1), ("leaky_relu", 0)])
def test_what_is_measured_is_what_the_catalogue_says(activation, smooth):
    for model in (network(activation, activation), network(activation, out=1, size=64)):
        for order in (1, 2):
            found = values(model, "smoothness_on_segments", order=order, segments=4)
            (ratio,) = found.values()
            assert ratio < 0.15 if order <= smooth else ratio > 0.9


def test_one_kinked_site_among_smooth_ones_and_one_that_jumps_are_seen():
    for activations in (("tanh", "relu", "tanh"), ("tanh", "hardshrink")):
        assert values(network(*activations), "smoothness_on_segments")[
            "smoothness_on_segments"
        ] == pytest.approx(1, abs=0.1)


class Pooled(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = network("tanh", out=8)

    def forward(self, x):
        return nn.functional.max_pool1d(self.network(x)[:, None], 2)


def test_pooling_has_kinks_that_no_activation_has():
    assert values(Pooled(), "smoothness")["smoothness"] == 3
    assert values(Pooled(), "smoothness_on_segments")["smoothness_on_segments"] > 0.9


def test_a_linear_network_has_no_jump_and_samples_may_be_equal():
    model = nn.Linear(6, 2)
    assert values(model, "smoothness_on_segments", order=2)[
        "smoothness_on_segments"
    ] == pytest.approx(0.1)
    repeated = torch.cat([X[:1], X[:1], X[:2]])
    found = values(network("relu"), "smoothness_on_segments", repeated)
    assert found["smoothness_on_segments"] == pytest.approx(1, abs=0.01)
    with pytest.raises(MeasureError, match="must have two different rows, but Linear has 2 that"):
        values(model, "smoothness_on_segments", repeated[:2])


class Given(nn.Module):
    """Gives what it is told."""

    def __init__(self, out=None):
        super().__init__()
        self.out = out

    def forward(self, x):
        return self.out


@pytest.mark.parametrize(
    ("model", "batch", "message"),
    [
        (Given(), torch.tensor([[1]]), "one tensor of numbers, but Given takes Tensor torch.int"),
        (Given(), [[1.0]], "one tensor of numbers, but Given takes list"),
        (Given({}), X, "one tensor in double precision, but Given gives AttributeError: 'dict'"),
        (Given(X[0]), X, "one tensor in double precision, but Given gives RuntimeError"),
        (Given(torch.ones(1, 1).long()), X, "in double precision, but Given gives RuntimeError"),
    ],
)
def test_what_has_no_segments_is_refused_before_any_training(model, batch, message):
    fitted = Fitted(model, {"val": [(batch,)]})
    with pytest.raises(MeasureError, match=message) as raised:
        check(fitted, [build("smoothness_on_segments")])
    assert "\n" not in str(raised.value)


class Encoding(nn.Module):
    """Takes in what its batches do not hold."""

    def __init__(self):
        super().__init__()
        self.network = network("relu")
        self.example_input_array = X[:4, None].repeat(1, 2, 1)

    def forward(self, x):
        return self.network(x.mean(1))


@pytest.mark.parametrize("batch", [(X,), [torch.tensor(3.0)], {"rows": [1, 2]}])
def test_the_example_serves_where_batches_hold_something_else(batch):
    found = build("smoothness_on_segments").values(Fitted(Encoding(), {"val": [batch]}))
    assert found["smoothness_on_segments"] == pytest.approx(1, abs=0.1)


class Density(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = network("softplus", out=1)

    def forward(self, x):
        return self.network(x).squeeze(1)


def test_one_number_a_sample_is_measured_too():
    found = values(Density(), "smoothness_on_segments")
    assert found["smoothness_on_segments"] == pytest.approx(0.1, abs=0.01)


class Unknown(nn.Module):
    def forward(self, x):
        return x.tanh() ** 2


@pytest.mark.parametrize("name", ["smoothness", "expected_sparsity"])
def test_what_the_catalogue_does_not_know_is_told_with_its_site(name):
    model = nn.Sequential(nn.Linear(6, 4), Site(Unknown()), nn.Linear(4, 1))
    fitted = Fitted(model, {"val": [(X,)]})
    assert not missing(fitted, build(name))
    with pytest.raises(MeasureError, match=rf"^{name} must have activations of the catalogue, but"):
        check(fitted, [build(name)])


def test_the_curvature_is_that_of_the_sharpest_activation_as_trained():
    found = values(network("sigmoid", "tanh"), "curvature")
    assert found["curvature"] == pytest.approx(4 / 27**0.5)
    model = nn.Sequential(nn.Linear(6, 4), Site("swish", learn=["beta"]), nn.Linear(4, 1))
    with torch.no_grad():
        model[1].activation.raw_beta.add_(1)
        beta = float(model[1].activation.current()["beta"])
    assert beta > 1.5
    assert values(model, "curvature")["curvature"] == pytest.approx(beta / 2)
    with pytest.raises(MeasureError, match=r"second derivative, but got relu at 3\. Place elu,"):
        check(Fitted(network("tanh", "relu"), {"val": [(X,)]}), [build("curvature")])


def test_expected_sparsity_is_the_catalogues_and_sparsity_the_networks():
    model = network("relu", "tanh")
    assert values(model, "expected_sparsity") == {"expected_sparsity": 0.25}
    with torch.no_grad():
        model[0].bias.fill_(-100)
    assert values(model, "expected_sparsity") == {"expected_sparsity": 0.25}
    assert values(model, "sparsity") == {"sparsity": 0.5}


def test_binaries_are_the_catalogues_of_each_unit_and_those_that_a_batch_crosses():
    model = network("relu", "hardtanh", size=4)
    possible = sum(4 * site.properties.binaries for site in Fitted(model, {"val": [(X,)]}).sites)
    found = values(model, "binaries")
    assert found["binaries/possible"] == possible == 4 + 8
    assert 0 < found["binaries/crossed"] < possible
    with torch.no_grad():
        model[0].bias[:2] = torch.tensor([-100.0, 100.0])  # never on, never off
        model[2].weight.zero_()
    assert values(model, "binaries") == {"binaries/possible": 12, "binaries/crossed": 2}
    for channel_dim in (1, -1):
        model[1] = Site("prelu", share="channel", channels=4, channel_dim=channel_dim)
        assert values(model, "binaries")["binaries/possible"] == possible
    images = nn.Sequential(nn.Conv2d(1, 2, 3), Site("leaky_relu"))
    rows = torch.randn(100, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    assert values(images, "binaries", rows) == {"binaries/possible": 32, "binaries/crossed": 32}
    with pytest.raises(MeasureError, match="continuous piecewise linear activations, but got tanh"):
        check(Fitted(network("tanh"), {"val": [(X,)]}), [build("binaries")])


def test_the_picture_of_a_spectrum_tells_a_collapse(tmp_path):
    files = []
    for scale in (1.0, 0.0):
        model = network("tanh")
        with torch.no_grad():
            model[0].weight.mul_(scale)
        build("spectrum").pictures(Fitted(model, {"val": [(X,)]}), tmp_path)
        files.append((tmp_path / "spectrum.png").read_bytes())
    assert files[0].startswith(b"\x89PNG")
    assert files[0] != files[1]


def test_a_spectrum_has_as_many_shares_as_are_asked_for_and_there_are():
    model = network("tanh", size=4)
    found = values(model, "spectrum", shares=9)
    assert found.keys() == {"spectrum/entropy_rank", *(f"spectrum/share_{k}" for k in range(1, 5))}
    assert sum(v for k, v in found.items() if "share" in k) == pytest.approx(1)
    assert values(model, "spectrum", shares=0).keys() == {"spectrum/entropy_rank"}
    with torch.no_grad():
        model[0].weight.zero_()
    assert set(values(model, "spectrum").values()) == {0.0}
    with pytest.raises(InvalidValueError, match="at least 2 samples"):
        values(model, "spectrum", X[:1])
