"""What verification decides of networks on the digits, and what it costs in binaries."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from actsearch.measures import Fitted
from actsearch.measures.functional.verify import verify
from actsearch.measures.piecewise_linear import PiecewiseLinearNetwork
from actsearch.placement import Site

pytestmark = [pytest.mark.claim, pytest.mark.long]


def trained(hidden, activation, parameters, x, y):
    torch.manual_seed(0)
    layers, inputs = [], 64
    for width in hidden:
        layers += [nn.Linear(inputs, width), Site(activation, **parameters)]
        inputs = width
    model = nn.Sequential(*layers, nn.Linear(inputs, 10))
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3, fused=True)
    for _ in range(25):
        for rows in torch.randperm(1400).split(32):
            optimiser.zero_grad()
            F.cross_entropy(model(x[rows]), y[rows]).backward()
            optimiser.step()
    return model.eval()


@pytest.mark.parametrize(
    ("hidden", "activation", "parameters", "epsilon"),
    [
        ((16,), "relu", {}, 0.05),
        ((16, 16), "relu", {}, 0.05),
        ((16, 16), "relu", {}, 0.1),
        ((16, 16), "leaky_relu", {"negative_slope": 0.1}, 0.05),
        ((16, 16), "clipped_relu", {}, 0.05),
        ((24, 24), "relu", {}, 0.05),
        ((32, 32), "relu", {}, 0.05),
        ((32, 32), "relu", {}, 0.02),
    ],
    ids=str,
)
def test_small_networks_on_the_digits_are_decided(hidden, activation, parameters, epsilon, claim):
    torch.set_num_threads(1)
    data = load_digits()
    x, y = torch.tensor(data.data / 16).float(), torch.tensor(data.target)
    model = trained(hidden, activation, parameters, x, y)
    network = PiecewiseLinearNetwork(Fitted(model, example=x[:1]), "a proof")
    maps, sites = network.affine_maps(), [site.units for site in network.sites]
    outcomes, binaries, errors = [], [], [0.0]
    for row in range(1400, 1408):
        label = int(y[row])
        sample = x[row].double().numpy()
        proof = verify(maps, sites, network.outputs, sample, label, epsilon, 60)
        outcomes.append(proof.outcome)
        binaries.append(proof.binaries)
        if proof.witness is not None:
            own = network.outputs(proof.witness[None])[0]
            errors.append(abs(own[label] - own[proof.rival] - proof.margin))
    possible = sum(len(unit.knots) for units in sites for unit in units)
    counts = [outcomes.count(each) for each in ("verified", "refuted", "undecided")]
    claim(
        f"verification, digits, 64-{'-'.join(map(str, hidden))}-10, {activation}, ε {epsilon},"
        " 8 images",
        f"verified {counts[0]}, refuted {counts[1]}, undecided {counts[2]}; binaries"
        f" {np.mean(binaries):.1f} of {possible}; error of the margin {max(errors):.0e}",
        "undecided 0; error < 1e-6",
    )
    assert counts[2] == 0
    assert max(errors) < 1e-6
    assert np.mean(binaries) < possible
