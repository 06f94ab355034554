"""The variance of signal and gradient, measured layer by layer on what was initialised."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from actsearch import activation
from actsearch.errors import InvalidValueError, PlacementError
from actsearch.placement import initialise

MIXED = ["relu", "tanh", "gelu", "silu", "mish", "softsign", "selu"]


def tower(width=512, depth=20):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    layers = []
    for number in range(depth):
        linear = nn.Linear(width, width, bias=False)
        nn.init.kaiming_normal_(linear.weight)
        layers += [linear, activation(MIXED[number % len(MIXED)])]
    return nn.Sequential(*layers)


def variances(model, x):
    found = []
    layers = [m for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    handles = [
        layer.register_forward_hook(lambda _m, _i, y: found.append(y.var().item()))
        for layer in layers
    ]
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    return torch.tensor(found)


def gradients(model, x):
    found = []
    layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
    handles = [
        layer.register_full_backward_hook(lambda _m, _i, g: found.append(g[0].var().item()))
        for layer in layers
    ]
    y = model(x.requires_grad_())
    y.backward(torch.randn_like(y))
    for handle in handles:
        handle.remove()
    return torch.tensor(found)


def test_twenty_mixed_layers_keep_the_variance_and_do_not_under_he():
    model, x = tower(), torch.randn(256, 512)
    he = variances(model, x)
    rows = initialise(model, "forward")
    own = variances(model, x)
    assert len(rows) == 20
    # Each layer's variance against that of the layer before, the width being finite.
    ratio, he_ratio = own[1:] / own[:-1], he[1:] / he[:-1]
    assert float(ratio.log().abs().mean().exp()) < 1.1
    assert float(own.min()) > 0.75
    assert float(own.max()) < 1.35
    assert float(he_ratio.log().abs().mean().exp()) > 1.2
    # Behind ReLU, the reciprocal of its gain 2.
    assert rows[1].incoming == pytest.approx(0.5, abs=1e-3)


class Combined(nn.Module):
    """One layer behind what two activations give together."""

    def __init__(self, combine):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.head = (nn.Linear(512, 512, bias=False) for _ in range(3))
        self.combine = combine

    def forward(self, x):
        return torch.tanh(self.head(self.combine(torch.relu(self.a(x)), torch.relu(self.b(x)))))


@pytest.mark.parametrize(
    ("combine", "incoming"),
    [
        (torch.sub, 1 - 1 / torch.pi),  # the variances alone: the means cancel
        (lambda p, q: p - q, 1 - 1 / torch.pi),
        (lambda p, q: q - p, 1 - 1 / torch.pi),
        (torch.add, 1 + 1 / torch.pi),
        (lambda p, q: p * q, 0.25),
        (lambda p, q: torch.cat([p, q], 1)[:, ::2], 0.5),
    ],
)
def test_a_layer_behind_two_signals_has_the_variance_aimed_at(combine, incoming):
    model, x = Combined(combine), torch.randn(512, 512)
    rows = {row.layer: row for row in initialise(model, "forward", x)}
    assert rows["head"].incoming == pytest.approx(incoming, rel=0.1)
    assert float(variances(model, x)[-1]) == pytest.approx(1, abs=0.12)


def test_backward_keeps_the_gradient():
    model, x = tower(), torch.randn(256, 512)
    initialise(model, "backward")
    found = gradients(model, x)
    assert float((found[1:] / found[:-1]).log().abs().max()) < 0.15


def test_the_mean_of_the_identity_is_glorots_rule():
    model = nn.Sequential(nn.Linear(200, 50, bias=False), activation("identity"), nn.Linear(50, 3))
    initialise(model, "mean")
    assert float(model[0].weight.detach().square().mean()) == pytest.approx(2 / 250, rel=1e-4)


def test_convolutions_and_transposed_convolutions():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(8, 32, 3, padding=1, groups=2),
        nn.ReLU(),
        nn.ConvTranspose2d(32, 16, 4, 2, 1),
        nn.GELU(),
        nn.Conv2d(16, 4, 1),
    )
    initialise(model, "forward")
    with torch.no_grad():
        x = model[0](torch.randn(8, 8, 32, 32))
        assert float(x.var()) == pytest.approx(1, abs=0.15)
        inside = model[2](torch.relu(x))[..., 2:-2, 2:-2]
        assert float(inside.var()) == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("layout", ["before", "after"])
def test_residual_branches_do_not_let_the_stream_grow(layout):
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            parts = [
                nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 256))
                for _ in range(10)
            ]
            self.branches, self.head = nn.ModuleList(parts), nn.Linear(256, 2)

        def forward(self, x):
            for branch in self.branches:
                x = x + branch(F.gelu(x)) if layout == "before" else F.gelu(x + branch(x))
            return self.head(x)

    model, x = Residual(), torch.randn(128, 256)
    rows = initialise(model)
    assert [round(row.variance, 3) for row in rows[:4]] == [1.0, 0.1, 1.0, 0.1]
    own = variances(model, x)
    assert float((own[0:20:2] - 1).abs().max()) < 0.3
    assert float((own[1:20:2] / 0.1 - 1).abs().max()) < 0.6


def test_zero_weights_biases_and_heads_stay():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    nn.init.zeros_(model[2].weight)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    rows = initialise(model)
    assert [row.layer for row in rows] == ["0"]
    assert all(
        torch.equal(value, before[key])
        for key, value in model.state_dict().items()
        if key != "0.weight"
    )
    assert torch.allclose(model[0].weight / before["0.weight"], torch.tensor(rows[0].factor))


def test_refuses():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    with pytest.raises(
        InvalidValueError, match="mode must be 'forward', 'backward' or 'mean', but got 'sideways'"
    ):
        initialise(model, "sideways")

    class Flow(nn.Module):
        def forward(self, x):
            return F.relu(x) if x.sum() > 0 else x

    with pytest.raises(PlacementError, match="because it does not trace"):
        initialise(Flow())
