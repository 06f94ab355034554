import pytest
import torch
import torch.nn.functional as F

from actsearch import activation
from actsearch.placement.start import started


@pytest.mark.parametrize(
    ("function", "slope"),
    [(F.relu, 0.0), (lambda x: F.leaky_relu(x, 0.01), 0.01), (lambda x: F.leaky_relu(x, 0.2), 0.2)],
)
def test_exact_where_the_form_can(function, slope):
    fresh, difference = started(activation("prelu"), function, ["negative_slope"])
    assert fresh.values == {"negative_slope": slope}
    assert difference == 0.0


def test_sharing_is_kept():
    module = activation("prelu", share="channel", channels=3, channel_dim=-1)
    fresh, _ = started(module, F.relu, ["negative_slope"])
    assert fresh.spec() == module.spec() | {"parameters": {"negative_slope": 0.0}}
    assert fresh.raw_negative_slope.shape == (3,)


def test_the_nearest_where_there_is_no_exact_start():
    fresh, difference = started(activation("prelu"), F.gelu, ["negative_slope"])
    x = torch.linspace(-6, 6, 1201, dtype=torch.float64)
    weight = torch.exp(-x.square() / 8)

    def loss(slope):
        return ((F.prelu(x, torch.tensor([slope], dtype=x.dtype)) - F.gelu(x)).square() * weight).sum()

    slope = fresh.values["negative_slope"]
    assert loss(slope) < min(loss(slope + 0.002), loss(slope - 0.002))
    worst = (F.prelu(x, torch.tensor([slope], dtype=x.dtype)) - F.gelu(x)).abs().max()
    assert difference == pytest.approx(float(worst))
    assert difference > 0.05


def test_what_is_given_stays():
    module = activation("tempered_tanh", scale=2.0)
    fresh, difference = started(module, torch.tanh, ["temperature", "offset"])
    assert fresh.values["scale"] == 2.0
    assert fresh.values["temperature"] != module.values["temperature"]
    assert 0 < difference < 1.1


def test_a_tempered_tanh_starts_at_tanh_exactly():
    fresh, difference = started(
        activation("tempered_tanh", scale=0.7, offset=0.2), torch.tanh, ["scale", "temperature", "offset"]
    )
    assert {key: abs(value) for key, value in fresh.values.items()} == {"scale": 1.0, "temperature": 1.0, "offset": 0.0}
    assert difference < 1e-12
