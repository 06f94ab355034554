"""Verification against regions, attacks and the network itself."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from actsearch.measures import Fitted
from actsearch.measures.functional.regions import plane_cells
from actsearch.measures.functional.verify import encode_network, verify
from actsearch.measures.piecewise_linear import PiecewiseLinearNetwork
from actsearch.placement import Site

pytestmark = pytest.mark.claim


def pieces_of(model, inputs):
    network = PiecewiseLinearNetwork(Fitted(model, example=torch.zeros(1, inputs)), "a proof")
    return network, network.affine_maps(), [site.units for site in network.sites]


@pytest.mark.parametrize("bounds", ["linear_programme", "interval"])
@pytest.mark.parametrize(
    "activation", ["relu", "leaky_relu", "abs", "hardtanh", "softshrink", "piecewise_linear_gelu"]
)
def test_the_least_margin_is_at_a_corner_of_a_linear_region(activation, bounds):
    """An affine function is least at a corner, and the regions are found another way."""
    torch.manual_seed(1)
    layers = [nn.Linear(2, 6), Site(activation), nn.Linear(6, 6), Site(activation)]
    network, maps, sites = pieces_of(nn.Sequential(*layers, nn.Linear(6, 3)), 2)
    sample, epsilon = np.array([0.3, -0.8]), 1.5
    square = sample + epsilon * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    corners = plane_cells(network.site_inputs, sites, square, 10_000).reshape(-1, 2)
    assert len(corners) > 40
    logits = network.outputs(corners)
    programme, _ = encode_network(maps, sites, sample - epsilon, sample + epsilon, bounds)
    matrix, offset = maps[-1]
    for label, rival in ((0, 1), (1, 2), (2, 0)):
        row, constant = matrix[label] - matrix[rival], offset[label] - offset[rival]
        point, margin, proved = programme.minimise(row, constant, 60)
        assert margin == pytest.approx((logits[:, label] - logits[:, rival]).min(), abs=1e-6)
        assert proved == pytest.approx(margin, abs=1e-6)
        own = network.outputs(point[None])[0]
        assert own[label] - own[rival] == pytest.approx(margin, abs=1e-6)
        assert programme.lower_bound(row, constant, 60) <= margin + 1e-6


def digits():
    data = load_digits()
    return torch.tensor(data.data / 16).float(), torch.tensor(data.target)


@pytest.fixture(scope="module")
def trained():
    """Train 64-16-16-10 networks on the digits, pixels in [0, 1], once each."""
    x, y = digits()
    made = {}

    def train(activation, **parameters):
        if activation not in made:
            torch.manual_seed(0)
            first, second = (Site(activation, **parameters) for _ in range(2))
            hidden = nn.Linear(64, 16), first, nn.Linear(16, 16), second
            model = nn.Sequential(*hidden, nn.Linear(16, 10))
            optimiser = torch.optim.Adam(model.parameters(), lr=5e-3, fused=True)
            for _ in range(15):
                for rows in torch.randperm(1400).split(32):
                    optimiser.zero_grad()
                    F.cross_entropy(model(x[rows]), y[rows]).backward()
                    optimiser.step()
            made[activation] = model.eval().double()
        return made[activation]

    return train


def attack(model, x, label, epsilon):
    """Return the least margin that projected gradient descent finds from 20 starts."""
    generator = torch.Generator().manual_seed(0)
    start = 2 * torch.rand(20, len(x), generator=generator, dtype=torch.double) - 1
    step = (epsilon * start).requires_grad_()
    least = torch.inf
    for _ in range(60):
        logits = model(x + step)
        others = logits.index_fill(1, torch.tensor([label]), -torch.inf).amax(1)
        margin = logits[:, label] - others
        least = min(least, float(margin.detach().min()))
        (gradient,) = torch.autograd.grad(margin.sum(), step)
        moved = step - 0.1 * epsilon * gradient.sign()
        step = moved.clamp(-epsilon, epsilon).detach().requires_grad_()
    return least


@pytest.mark.parametrize(
    ("activation", "parameters", "most"),
    [("relu", {}, 16), ("leaky_relu", {"negative_slope": 0.1}, 20)],
)
def test_witnesses_are_taken_for_another_class_and_no_attack_breaks_what_is_verified(
    trained, activation, parameters, most
):
    model, (x, y) = trained(activation, **parameters), digits()
    network, maps, sites = pieces_of(model.float(), 64)
    model.double()
    outcomes, binaries, decided = [], [], 0
    for row in range(1400, 1412):
        sample, label = x[row].double(), int(y[row])
        verdict = verify(maps, sites, network.outputs, sample.numpy(), label, 0.05, 60)
        outcomes.append(verdict.outcome)
        binaries.append(verdict.binaries)
        found = attack(model, sample, label, 0.05)
        assert found >= verdict.margin - 1e-6 or verdict.outcome == "refuted"
        if verdict.witness is not None:
            decided += 1
            logits = model(torch.from_numpy(verdict.witness)).detach()
            own = float(logits[label] - logits[verdict.rival])
            assert own == pytest.approx(verdict.margin, abs=1e-6)
            assert np.abs(verdict.witness - sample.numpy()).max() <= 0.05 + 1e-12
            assert (own < 0) == (verdict.outcome == "refuted")
        if verdict.outcome == "verified":
            assert found > 0
    assert set(outcomes) == {"verified", "refuted"}
    assert decided >= 3
    assert 0 < np.mean(binaries) < most


@pytest.mark.parametrize(("activation", "knots"), [("relu", 1), ("leaky_relu", 1), ("clip", 2)])
def test_without_bounds_each_knot_has_a_binary_and_with_bounds_those_that_are_unstable(
    trained, activation, knots
):
    model, (x, _) = trained(activation), digits()
    _, maps, sites = pieces_of(model.float(), 64)
    sample = x[1400].double().numpy()

    def size(epsilon, bounds="linear_programme"):
        programme, unstable = encode_network(
            maps, sites, sample - epsilon, sample + epsilon, bounds
        )
        return programme.binaries, unstable

    assert size(1e3) == (32 * knots, 32)
    assert size(0.0) == (0, 0)
    tight, loose = size(0.05), size(0.05, "interval")
    assert tight[1] <= tight[0] <= loose[0] < 32 * knots
    assert tight[0] < loose[0]


def test_when_time_is_up_nothing_is_claimed():
    torch.manual_seed(0)
    layers = [nn.Linear(20, 60), Site("relu"), nn.Linear(60, 60), Site("relu")]
    network, maps, sites = pieces_of(nn.Sequential(*layers, nn.Linear(60, 5)), 20)
    sample = np.zeros(20)
    label = int(network.outputs(sample[None])[0].argmax())
    verdict = verify(maps, sites, network.outputs, sample, label, 0.7, 0.05)
    assert verdict.outcome == "undecided"
    assert verify(maps, sites, network.outputs, sample, label, 0.0, 60).outcome == "verified"
    wrong = verify(maps, sites, network.outputs, sample, (label + 1) % 5, 0.7, 0.05)
    assert wrong.outcome == "refuted"
    assert (wrong.witness == sample).all()
