"""Bounds on Lipschitz constants, against Jacobians and matrices."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from actsearch.errors import InvalidValueError
from actsearch.measures import Fitted
from actsearch.measures.builtin.certified_accuracy import lipschitz_bound
from actsearch.measures.functional import operator_norm as module
from actsearch.measures.functional.lipschitz import lipschitz, pairwise_lipschitz
from actsearch.measures.functional.operator_norm import operator_norm
from actsearch.placement import Site

CONVOLUTIONS = [
    (nn.Conv2d(2, 6, 3, padding=1), (2, 8, 8)),
    (nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), (4, 9, 7)),
    (nn.Conv2d(3, 2, (2, 3), dilation=(2, 1), padding="same"), (3, 8, 8)),
    (nn.Conv2d(3, 4, 2, stride=3, padding="valid"), (3, 8, 8)),
    (nn.Conv1d(2, 3, 5, stride=2, padding=3), (2, 20)),
    (nn.Conv3d(1, 2, 2, padding=1), (1, 4, 5, 6)),
]


def matrix_of(layer, shape):
    """The layer without its bias as a matrix, by its own forward."""
    units = torch.eye(int(torch.Size(shape).numel())).view(-1, *shape)
    with torch.no_grad():
        return (layer(units) - layer(torch.zeros_like(units))).flatten(1)


@pytest.mark.parametrize(("layer", "shape"), CONVOLUTIONS, ids=str)
def test_the_norm_of_a_convolution_is_that_of_its_matrix(layer, shape, monkeypatch):
    own = float(torch.linalg.matrix_norm(matrix_of(layer, shape), 2))
    assert operator_norm(layer, shape) == pytest.approx(own, rel=1e-5)
    monkeypatch.setattr(module, "MOST_ENTRIES", 0)
    assert own - 1e-5 <= operator_norm(layer, shape) <= 1.35 * own


def test_by_frequencies_the_norm_is_exact_in_the_limit_of_large_inputs(monkeypatch):
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 4, 3, padding=1)
    exact = operator_norm(layer, (3, 16, 16))
    monkeypatch.setattr(module, "MOST_ENTRIES", 0)
    assert exact <= operator_norm(layer, (3, 16, 16)) <= 1.02 * exact


def test_a_scale_of_the_outputs_is_part_of_the_norm():
    layer, scale = nn.Conv1d(2, 3, 3), torch.tensor([0.1, -2.0, 0.5])
    scaled = matrix_of(layer, (2, 9)).view(-1, 3, 7) * scale[:, None]
    own = float(torch.linalg.matrix_norm(scaled.flatten(1), 2))
    assert operator_norm(layer, (2, 9), scale) == pytest.approx(own, rel=1e-5)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1, groups=2)
        self.norm = nn.BatchNorm2d(2)
        self.down = nn.Conv2d(2, 3, 2, stride=2)
        self.head = nn.Linear(3, 4)

    def forward(self, x):
        x = x + 0.5 * self.norm(F.relu(self.conv(x)))
        return self.head(self.down(x).mean((2, 3)))


def test_the_bound_holds_for_convolutions_and_residual_sums():
    torch.manual_seed(0)
    model, x = Residual(), torch.randn(64, 2, 6, 6)
    model.norm(x)
    model.eval()
    bound = lipschitz_bound(Fitted(model, example=x))
    jacobian = torch.func.vmap(torch.func.jacrev(lambda one: model(one[None])[0]))(x)
    largest = float(torch.linalg.matrix_norm(jacobian.flatten(2).detach(), 2).max())
    assert largest <= bound <= 5 * largest


def test_batch_normalisation_is_folded_into_the_layer_before_it():
    torch.manual_seed(0)
    layers = nn.Linear(4, 6), nn.BatchNorm1d(6)
    model = nn.Sequential(*layers)
    nn.init.uniform_(layers[1].weight, 0.1, 2)
    model(torch.randn(64, 4) @ torch.diag(torch.tensor([0.1, 1.0, 3.0, 9.0])))
    model.eval()
    own = float(torch.linalg.matrix_norm(matrix_of(model, (4,)), 2))
    assert lipschitz(model, {}, torch.zeros(2, 4)) == pytest.approx(own, rel=1e-5)
    scale = layers[1].weight.detach() / (layers[1].running_var + 1e-5).sqrt()
    assert own < 0.9 * operator_norm(layers[0], (4,)) * float(scale.abs().max())


@pytest.mark.parametrize("last", [nn.Identity(), nn.Flatten(), nn.Linear(4, 4)], ids=repr)
def test_bounds_of_differences_hold_and_are_no_larger_than_the_root_of_two(last):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 4), last)
    slopes, x = {"1": 1.0}, torch.randn(200, 3)
    pairs = pairwise_lipschitz(model, slopes, x)
    jacobian = torch.func.vmap(torch.func.jacrev(lambda one: model(one[None])[0]))(x).detach()
    seen = (jacobian[:, :, None] - jacobian[:, None]).norm(dim=-1).amax(0)
    assert (seen <= pairs + 1e-6).all()
    assert (pairs <= 2**0.5 * lipschitz(model, slopes, x) + 1e-9).all()
    assert pairs.diagonal().eq(0).all()
    tighter = pairs < 2**0.5 * lipschitz(model, slopes, x) * (1 - 1e-9)
    assert bool(tighter.triu(1).any()) == isinstance(last, nn.Linear)


def test_the_bound_of_a_chain_is_the_product_of_its_layers():
    model = nn.Sequential(nn.Linear(3, 5), nn.Flatten(), Site("swish", beta=1.0), nn.Linear(5, 2))
    norms = [float(torch.linalg.matrix_norm(model[i].weight.detach(), 2)) for i in (0, 3)]
    bound = lipschitz_bound(Fitted(model, example=torch.zeros(1, 3)))
    assert bound == pytest.approx(norms[0] * norms[1] * 1.0998, rel=1e-4)


class Spread(nn.Module):
    def forward(self, x):
        return x + x[:, :1]


class Acting(nn.Module):
    def __init__(self, act):
        super().__init__()
        self.act = act

    def forward(self, x):
        return self.act(x)


@pytest.mark.parametrize(
    ("act", "factor"),
    [
        (lambda x: x + x, 2),
        (lambda x: torch.cat([x, x], 1), 2**0.5),
        (lambda x: 3 * x, 3),
        (lambda x: x / 4, 0.25),
    ],
    ids=["sum", "cat", "product", "quotient"],
)
def test_what_is_taken_twice_counts_twice_and_numbers_are_factors(act, factor):
    assert lipschitz(Acting(act), {}, torch.zeros(2, 3)) == pytest.approx(factor)


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    ("model", "what"),
    [
        (nn.Sequential(nn.LayerNorm(3)), "but got LayerNorm at '0'"),
        (nn.Sequential(nn.Linear(3, 3), nn.Softmax(1)), "but got Softmax at '1'"),
        (Spread(), "but got add at"),
        (Acting(lambda x: 2 / x), "but got truediv at"),
        (Acting(lambda x: x * x), "but got mul at"),
        (nn.Sequential(nn.AdaptiveAvgPool1d(4)), "but got AdaptiveAvgPool1d at '0'"),
        (Branching(), "forward that torch.fx traces"),
    ],
)
def test_what_has_no_known_bound_is_refused(model, what):
    with pytest.raises(InvalidValueError, match=what):
        lipschitz(model, {}, torch.zeros(2, 3))
