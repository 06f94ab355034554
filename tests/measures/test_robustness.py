"""Certified radii against attacks, which must fail inside of them and succeed further out."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from actsearch.errors import InvalidValueError, MeasureError
from actsearch.measures import Fitted, build, check
from actsearch.measures.builtin.certified_accuracy import certified_radii, lipschitz_bound
from actsearch.measures.builtin.robustness import Robustness
from actsearch.placement import Site

pytestmark = pytest.mark.claim


def images(size=96):
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(96) % 3
    x = torch.randn(96, 1, 4, 4, generator=generator)
    x[torch.arange(96), 0, y] += 2
    return list(zip(x.split(size), y.split(size), strict=True))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 3, 3, padding=1)
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.activation = Site("elu")
        self.head = nn.Linear(12, 3)

    def forward(self, x):
        x = self.stem(x)
        x = x + self.norm(self.conv(self.activation(x)))
        return self.head(x[:, :, ::2, ::2].flatten(1))


def chain():
    layers = nn.Linear(16, 12), Site("abs"), nn.Linear(12, 12), Site("tanh"), nn.Linear(12, 3)
    return nn.Sequential(nn.Flatten(), *layers)


def convolutional():
    features = nn.Conv2d(1, 4, 3, padding=1), Site("gelu"), nn.AvgPool2d(2), nn.Flatten()
    return nn.Sequential(*features, nn.Linear(16, 3))


def trained(make):
    torch.manual_seed(0)
    model = make()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(30):
        for x, y in images(16):
            optimiser.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimiser.step()
    return model.eval()


@pytest.mark.parametrize("make", [chain, convolutional, Residual])
def test_no_attack_succeeds_within_the_certified_radius(make):
    model = trained(make)
    fitted = Fitted(model, {"val": images()})
    radii = certified_radii(fitted)
    right = model(images()[0][0]).argmax(1) == images()[0][1]
    assert right.double().mean() > 0.9
    assert torch.equal(radii > 0, right)
    measure = Robustness(attack_steps=60)
    assert torch.equal(measure.survivors(fitted, 0.999 * radii), right)
    assert measure.survivors(fitted, 20 * radii).double().mean() < 0.3  # it can succeed


def test_a_pairwise_radius_is_never_below_that_of_the_margin_and_the_whole_bound():
    model = trained(chain)
    fitted = Fitted(model, {"val": images()})
    x, y = images()[0]
    logits = model(x).detach().double()
    right = logits.gather(1, y[:, None]).squeeze(1)
    margin = right - logits.scatter(1, y[:, None], -torch.inf).amax(1)
    whole = (margin / (2**0.5 * lipschitz_bound(fitted))).clamp(min=0)
    assert (certified_radii(fitted) >= whole - 1e-9).all()


def test_what_is_certified_is_less_than_what_an_attack_leaves_at_any_batch_size():
    fitted = Fitted(trained(chain), {"val": images()})
    found = build("robustness").values(fitted)
    for radius in ("0.1", "0.25", "0.5"):
        certified = found[f"robustness/certified_accuracy/{radius}"]
        assert certified <= found[f"robustness/attacked_accuracy/{radius}"]
        alone = build("certified_accuracy", {"radius": float(radius)}).values(fitted)
        assert alone == {"certified_accuracy": certified}
    assert found["robustness/lipschitz"] == lipschitz_bound(fitted)
    assert found["robustness/certified_radius"] == float(certified_radii(fitted).median())
    apart = build("robustness").values(Fitted(fitted.module, {"val": images(7)}))
    assert apart == pytest.approx(found, abs=1e-6)


def test_a_linear_classifier_is_certified_to_its_boundary():
    """The distance to the nearest boundary is known, and both bounds meet there."""
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = torch.tensor([[3.0, 4.0], [-3.0, -4.0]])
    x = torch.tensor([[1.0, 0.5], [0.1, 0.0], [-0.2, -0.3]])
    fitted = Fitted(nn.Sequential(layer), {"val": [(x, torch.tensor([0, 0, 1]))]})
    radii = certified_radii(fitted)
    assert radii.tolist() == pytest.approx([1.0, 0.06, 0.36])
    measure = Robustness()
    assert measure.survivors(fitted, 0.999 * radii).all()
    assert not measure.survivors(fitted, 1.001 * radii).any()


class Tempered(nn.Sequential):
    """Its forward does not return what it says are its logits."""

    def logits(self, batch):
        return 3 * self(batch[0])


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (
            nn.Sequential(nn.Flatten(), nn.Linear(16, 3), nn.LayerNorm(3)),
            InvalidValueError,
            "layers of known Lipschitz constant, but got LayerNorm at '2'",
        ),
        (
            Tempered(nn.Flatten(), nn.Linear(16, 3)),
            MeasureError,
            "a forward that returns the logits, but that of own returns something else",
        ),
    ],
)
def test_what_cannot_be_certified_is_told_before_training(model, error, message):
    fitted = Fitted(model, {"val": images()}, name="own")
    for name in ("robustness", "certified_accuracy"):
        with pytest.raises(error, match=message):
            check(fitted, [build(name)])


@pytest.mark.parametrize(
    "options", [{"radii": [-1.0]}, {"radii": []}, {"attack_steps": -1}], ids=str
)
def test_wrong_options_get_one_line(options):
    with pytest.raises(InvalidValueError, match="at least 0, but got"):
        build("robustness", options)


def test_the_picture_is_drawn_with_and_without_an_attack(tmp_path):
    fitted = Fitted(trained(chain), {"val": images()})
    for steps in (0, 5):
        Robustness(attack_steps=steps).pictures(fitted, tmp_path)
        file = tmp_path / "robustness.png"
        assert file.read_bytes().startswith(b"\x89PNG")
        file.unlink()
    assert not any("attacked" in name for name in Robustness(attack_steps=0).values(fitted))
