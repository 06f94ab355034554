"""Which networks are piecewise linear, and what is said of the others before training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from actsearch.errors import ActsearchError
from actsearch.measures import Fitted, build, check
from actsearch.measures.piecewise_linear import PiecewiseLinearNetwork
from actsearch.placement import Site


class Residual(nn.Module):
    """Convolution, normalisation, a sum; a module and a function as sites."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.act = Site("prelu", share="channel", channels=4)
        self.back = nn.Conv2d(4, 2, 1)
        self.head = nn.Linear(2 * 3 * 3, 3)

    def forward(self, x):
        x = x + 0.5 * self.back(self.act(self.norm(self.conv(x))))
        return self.head(F.relu(x)[..., ::2, ::2].flatten(1))


def residual():
    torch.manual_seed(0)
    model = Residual()
    model.norm(torch.randn(16, 4, 6, 6))
    with torch.no_grad():
        model.act.activation.raw_negative_slope.copy_(torch.tensor([-0.5, 0.1, 0.5, 2.0]))
    return model.eval()


def test_it_is_the_model_itself_in_double_precision():
    model, x = residual(), torch.randn(5, 2, 6, 6)
    found = PiecewiseLinearNetwork(Fitted(model, example=x), "a count")
    assert [site.name for site in found.sites] == ["act", "relu"]
    points = x.flatten(1).double().numpy()
    assert np.allclose(found.outputs(points), model(x).detach().numpy(), atol=1e-5)
    y = points
    for site, z in zip(found.sites, found.site_inputs(points), strict=True):
        own = [unit(column) for unit, column in zip(site.units, z.T, strict=True)]
        y = np.concatenate([y, np.array(own).T], 1)
    for (matrix, offset), z in zip(
        found.affine_maps(), [*found.site_inputs(points), found.outputs(points)], strict=True
    ):
        assert np.allclose(y[:, : matrix.shape[1]] @ matrix.T + offset, z, atol=1e-12)


class Product(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(3, 4), nn.Linear(3, 4)

    def forward(self, x):
        return F.relu(self.left(x) * self.right(x))


class Casting(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = [torch.ones(3)]
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        return self.head(F.relu(F.linear(x, self.scale[0].diag())))


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.act = nn.Linear(3, 3), Site("relu")

    def forward(self, x):
        return self.act(self.linear(self.act(x)))


def mlp(*middle):
    return nn.Sequential(nn.Linear(3, 4), *middle, nn.Linear(4, 2))


@pytest.mark.parametrize("name", ["linear_regions", "regions_on_segment"])
@pytest.mark.parametrize(
    ("model", "what"),
    [
        (mlp(Site("relu"), nn.Linear(4, 4), Site("gelu")), "activations, but got gelu at 3. "),
        (mlp(Site("hardshrink")), "must have continuous piecewise linear activations, but got har"),
        (mlp(Site("relu"), nn.LayerNorm(4)), "but got LayerNorm at '2'. Replace it,"),
        (mlp(nn.ReLU(), nn.Softmax(1)), "but got Softmax at '2'"),
        (Product(), "but got mul at 'mul'"),
        (Casting(), "must have a model that runs in double precision, but got "),
        (Twice(), "must have sites that run once, but act.activation runs 2 times. Give each"),
        (nn.Sequential(nn.Embedding(9, 3), nn.ReLU()), "must have a model of one tensor of number"),
    ],
    ids=["gelu", "jump", "norm", "softmax", "product", "casts", "twice", "tokens"],
)
def test_what_is_not_piecewise_linear_is_refused_with_its_place(name, model, what):
    example = torch.zeros(2, 3, dtype=torch.long if "Embedding" in str(model) else torch.float32)
    with pytest.raises(ActsearchError) as raised:
        check(Fitted(model, example=example), [build(name)])
    assert what in str(raised.value)
    assert str(raised.value).startswith(f"{name} must ")
    assert "\n" not in str(raised.value)


def fitted(rows):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 12), Site("relu"), nn.Linear(12, 12), Site("relu"))
    return Fitted(model, {"val": [(torch.tensor(rows),)]})


ROWS = [[0.0] * 6, [4.0, 0, 0, 0, 0, 0], [0, 4.0, 0, 0, 0, 0], [8.0, 0, 0, 0, 0, 0]]


def test_layers_and_rows_are_chosen():
    of = fitted(ROWS)

    def value(name, **options):
        return build(name, options).values(of)[name]

    assert value("linear_regions", layers=1) < value("linear_regions")
    assert value("linear_regions") < value("linear_regions", extent=3.0)
    assert value("linear_regions", limit=3) == 3
    assert value("regions_on_segment", layers=1) < value("regions_on_segment")
    assert value("regions_on_segment") < value("regions_on_segment", segment=(0, 3))
    # The edge of a triangle has no more cells than the triangle.
    assert value("regions_on_segment") <= value("linear_regions")


@pytest.mark.parametrize(
    ("name", "options", "what"),
    [
        ("linear_regions", {"plane": (0, 1, 3)}, "three rows that are not on one line, but got"),
        ("linear_regions", {"plane": (0, 1, 9)}, "must have rows (0, 1, 9), but there are 4."),
        ("regions_on_segment", {"segment": (0, 9)}, "must have rows (0, 9), but there are 4."),
        ("linear_regions", {"extent": 0.0}, "but got plane=(0, 1, 2), extent=0.0"),
        ("regions_on_segment", {"layers": 0}, "layers=0"),
    ],
)
def test_wrong_options_are_told_in_one_line(name, options, what):
    with pytest.raises(ActsearchError) as raised:
        build(name, options).values(fitted(ROWS))
    assert what in str(raised.value)
    assert "\n" not in str(raised.value)


def classifier(model=None, shape=(1, 4, 4)):
    torch.manual_seed(0)
    layers = nn.Flatten(), nn.Linear(16, 8), Site("relu"), nn.Linear(8, 8), Site("hardtanh")
    model = model or nn.Sequential(*layers, nn.Linear(8, 3))
    x = torch.randn(6, *shape)
    return Fitted(model, {"val": [(part, model(part).argmax(1)) for part in x.split(2)]})


@pytest.mark.parametrize("shape", [(1, 4, 4), (16,)])
def test_pictures_are_png_files(tmp_path, shape):
    build("linear_regions").pictures(fitted(ROWS), tmp_path)
    refuted = build("verification", {"epsilon": 2.0, "samples": 2})
    refuted.pictures(classifier(shape=shape), tmp_path)
    drawn = sorted(tmp_path.iterdir())
    assert [path.name for path in drawn] == ["linear_regions.png", "verification.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_shares_are_of_the_samples_and_fall_with_the_radius():
    of = classifier()
    found = [
        build("verification", {"epsilon": epsilon, "samples": 5, "time_limit": 30.0}).values(of)
        for epsilon in (0.0, 0.05, 2.0)
    ]
    verified = [values["verification/verified"] for values in found]
    assert verified[0] == 1.0
    assert verified[0] >= verified[1] > verified[2] == 0.0
    assert [values["verification/refuted"] for values in found] == [1 - v for v in verified]
    binaries = [values["verification/binaries"] for values in found]
    assert binaries[0] == 0 < binaries[1] < binaries[2] <= 8 + 2 * 8


def test_what_cannot_be_verified_is_refused(monkeypatch):
    def message(of):
        with pytest.raises(ActsearchError) as raised:
            build("verification").values(of)
        return str(raised.value)

    smooth = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), Site("gelu"), nn.Linear(8, 3))
    assert "verification must have continuous piecewise linear activations, but got gelu at 2." in (
        message(classifier(smooth))
    )

    class Doubled(nn.Sequential):
        def logits(self, batch):
            return 2 * self(batch[0])

    other = Doubled(nn.Flatten(), nn.Linear(16, 8), Site("relu"), nn.Linear(8, 3))
    assert "must have a forward that returns the logits" in message(classifier(other))
    monkeypatch.setattr("actsearch.measures.builtin.verification.MOST_UNITS", 15)
    assert "must have at most 15 units at sites, but Sequential has 16." in message(classifier())
    with pytest.raises(ActsearchError, match=r"time_limit above 0, but got .* time_limit=0"):
        build("verification", {"time_limit": 0.0})
