"""Saliency of units, against autograd sample by sample and against formulas; and pruning."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, grad, jacrev, vmap

from actsearch import Placement
from actsearch.errors import InvalidValueError, MeasureError
from actsearch.measures import Fitted, build, check
from actsearch.measures.functional.weight_gradients import squared_weight_gradients
from actsearch.measures.prunable import PrunableNetwork
from actsearch.measures.undisturbed import undisturbed
from actsearch.placement import Site
from actsearch.task import laws
from actsearch_tasks.classification import Classification

pytestmark = pytest.mark.claim

LAYERS = [
    (nn.Linear(3, 4), (3,)),
    (nn.Linear(3, 4, bias=False), (5, 3)),
    (nn.Conv1d(2, 4, 3, stride=2, padding=1), (2, 9)),
    (nn.Conv2d(4, 6, 3, padding="same", groups=2, dilation=2), (4, 6, 5)),
    (nn.Conv2d(2, 3, (2, 3), bias=False), (2, 6, 5)),
]


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=str)
def test_squared_gradients_are_those_of_autograd_sample_by_sample(layer, shape):
    x = torch.randn(20, *shape)
    delta = torch.randn_like(layer(x))

    def loss(parameters, one, back):
        return (functional_call(layer, parameters, (one[None],)) * back).sum()

    own = dict(layer.named_parameters())
    gradients = vmap(grad(loss), (None, 0, 0))(own, x, delta)
    expected = sum(g.flatten(2).square().sum(2) if g.ndim > 2 else g**2 for g in gradients.values())
    torch.testing.assert_close(squared_weight_gradients(layer, x, delta).detach(), expected)


@pytest.mark.parametrize("slope", [0.0, 0.01, 0.1, 0.3])
@pytest.mark.parametrize("shift", [-1.37, -0.5, 0.0, 1.37])
def test_saliency_of_a_bias_is_proportional_to_the_probability_that_the_unit_is_on(shift, slope):
    """With a signal that does not depend on the unit; p from 0.085 to 0.915."""
    z = (torch.randn(400_000, 1) + shift).requires_grad_()
    signal = torch.randn(400_000, 1)
    (delta,) = torch.autograd.grad((signal * F.leaky_relu(z, slope)).sum(), z)
    none = torch.zeros(400_000, 1)
    found = float(squared_weight_gradients(nn.Linear(1, 1), none, delta).mean())
    p = 0.5 * (1 + math.erf(shift / 2**0.5))
    assert found == pytest.approx(p + (1 - p) * slope**2, rel=0.02)


def test_that_of_its_weights_is_larger_where_the_unit_is_rarely_on():
    """Given that it is on, its inputs are larger; at p = 1/2 there is no difference."""
    x, signal = torch.randn(400_000, 8), torch.randn(400_000, 1)
    layer = nn.Linear(8, 1)
    nn.init.constant_(layer.weight, 8**-0.5)
    ratios = []
    for shift in (-1.37, 0.0, 1.37):
        nn.init.constant_(layer.bias, shift)
        z = layer(x)
        (delta,) = torch.autograd.grad((signal * z.relu()).sum(), z)
        found = float(squared_weight_gradients(layer, x, delta).mean())
        p = 0.5 * (1 + math.erf(shift / 2**0.5))
        ratios.append(found / (9 * p))  # E[x²] is 8, and 1 of the bias
    assert ratios[0] > 1.2
    assert ratios[1] == pytest.approx(1, rel=0.01)
    assert 0.95 < ratios[2] < 0.99


def blobs(size=96):
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(96) % 3
    x = torch.randn(96, 4, generator=generator) + 3 * torch.eye(4)[y]
    return list(zip(x.split(size), y.split(size), strict=True))


def loss_of(module, batch):
    return F.cross_entropy(module(batch[0]), batch[1])


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def fitted_of(*layers, size=96):
    model = nn.Sequential(*layers).eval()
    return Fitted(model, {"train": blobs(size), "val": blobs(size)}, loss=loss_of, name="own")


def chain():
    return nn.Linear(4, 6), Site("tanh"), nn.Linear(6, 5), Site("relu"), nn.Linear(5, 3)


@pytest.mark.parametrize("size", [96, 7])
def test_units_have_the_gradients_of_loss_and_of_all_logits(size):
    model, (x, y) = fitted_of(*chain()).module, blobs()[0]
    repeated = Fitted(model, {"train": 100 * blobs(size), "val": blobs()})
    with undisturbed(model):
        units = PrunableNetwork(repeated, "it").units(9600)
    own = {n: p.detach() for n, p in model.named_parameters()}

    def one(parameters, row):
        return functional_call(model, parameters, (row[None],))[0]

    def loss(parameters, row, label):
        return F.cross_entropy(one(parameters, row)[None], label[None])

    of_loss = vmap(grad(loss), (None, 0, 0))(own, x, y)
    of_logits = vmap(jacrev(one), (None, 0))(own, x)
    for found, path in zip(units, ("0", "2"), strict=True):
        weight, bias = of_loss[f"{path}.weight"], of_loss[f"{path}.bias"]
        saliency = (weight.square().sum(2) + bias**2).mean(0)
        torch.testing.assert_close(found.saliency.float(), saliency)
        weight, bias = of_logits[f"{path}.weight"], of_logits[f"{path}.bias"]
        jacobian = (weight.square().sum(3) + bias**2).sum(1).mean(0)
        torch.testing.assert_close(
            found.jacobian.float(), jacobian, rtol=0.1, atol=1e-3
        )  # by signs
        output = model[: int(path) + 2](x).mean(0).detach()
        torch.testing.assert_close(found.output.float(), output)
    z = model[:3](x)
    torch.testing.assert_close(units[1].activation.float(), (z > 0).float().mean(0))


def test_weights_that_are_not_learned_have_the_same_saliency():
    fitted = fitted_of(*chain())
    learned = build("saliency").values(fitted)
    fitted.module[0].requires_grad_(False)
    assert build("saliency").values(fitted) == learned
    fitted.module.requires_grad_(False)
    assert build("saliency").values(fitted) == learned


def test_a_unit_that_is_never_on_has_no_saliency_and_goes_first_without_a_loss():
    fitted = fitted_of(nn.Linear(4, 8), Site("relu"), nn.Linear(8, 3))
    fitted.module[0].bias.data[5] = -100
    with undisturbed(fitted.module):
        network = PrunableNetwork(fitted, "it")
        units = network.units(96)
        assert units[0].saliency[5] == units[0].activation[5] == 0
        assert (units[0].saliency > 0).sum() == 7
        x = blobs()[0][0]
        before = network.model(x)
        with network._without([torch.arange(8) != 5], units):
            assert torch.equal(network.model(x), before)
    found = build("saliency", {"sparsities": [0, 0.125]}).values(fitted)
    assert found["saliency/accuracy/sparsity_0"] == found["saliency/accuracy/sparsity_0.125"]


def test_a_unit_that_is_taken_away_gives_its_mean():
    fitted = fitted_of(*chain())
    with undisturbed(fitted.module):
        network = PrunableNetwork(fitted, "it")
        units = network.units(96)
        none = [torch.zeros(6, dtype=torch.bool), torch.zeros(5, dtype=torch.bool)]
        x = blobs()[0][0]
        with network._without(none, units):
            constant = network.model(x)
        expected = fitted.module[4](units[1].output.float())
        torch.testing.assert_close(constant, expected.expand(96, 3))


def test_training_on_repairs_what_was_taken_away_and_leaves_the_model_as_it_was():
    fitted = fitted_of(nn.Linear(4, 32), Site("relu"), nn.Linear(32, 3), size=16)
    before = {n: p.clone() for n, p in fitted.module.state_dict().items()}
    options = {"sparsities": [0.75], "rank": "random"}
    (cut,) = [v for n, v in build("saliency", options).values(fitted).items() if "acc" in n]
    more = options | {"retrain": 20, "retrain_lr": 0.01}
    (repaired,) = [v for n, v in build("saliency", more).values(fitted).items() if "acc" in n]
    assert repaired > cut + 0.2
    assert all(torch.equal(v, before[n]) for n, v in fitted.module.state_dict().items())


@pytest.mark.parametrize(
    ("options", "sites"),
    [
        ({"backbone": "lenet"}, 4),
        ({"backbone": "resnet", "residual": "post_activation"}, 7),
        ({"backbone": "resnet", "normalisation": "none"}, 7),
        ({"backbone": "transformer", "hidden": 16}, 3),
        ({"weights": "spectral", "depth": 2}, 2),
        ({"normalisation": "batch", "norm_position": "either", "depth": 2}, 2),
        ({"logit_site": True, "depth": 2}, 2),
    ],
    ids=str,
)
def test_layers_of_all_backbones_are_found_but_never_the_logits(options, sites):
    task = laws.build_task(Classification, options, 0)
    found = build("saliency", {"rows": 64}).values(Fitted(task))
    assert sum("correlation" in name for name in found) == sites
    assert not any("logits" in name for name in found)
    assert all(math.isfinite(value) for value in found.values())


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "elu"])
def test_in_a_fresh_network_saliency_follows_the_probability_that_a_unit_is_on(activation):
    task = laws.build_task(Classification, {"hidden": 128, "depth": 2}, 0)
    if activation != "relu":
        hidden = [f"network.layer_{i}.activation" for i in (1, 2)]
        Placement.uniform(activation, hidden).apply(task)
    found = build("saliency", {"rows": 1000}).values(Fitted(task))
    for number in (1, 2):
        assert found[f"saliency/correlation/network.layer_{number}.activation"] > 0.5


def test_early_in_training_the_least_salient_half_can_go_and_a_random_half_cannot():
    task = laws.build_task(Classification, {"hidden": 128, "depth": 2}, 0)
    laws.fit(task, 2)
    halves = {}
    for rank in ("saliency", "jacobian", "random"):
        found = build("saliency", {"rank": rank, "sparsities": [0.5]}).values(Fitted(task))
        halves[rank] = found["saliency/accuracy/sparsity_0.5"]
    assert min(halves["saliency"], halves["jacobian"]) > halves["random"] + 0.05, halves


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((nn.Linear(4, 3), Site("relu")), "another layer behind that, but own has none"),
        ((nn.Linear(4, 3), nn.LayerNorm(3)), "must have sites"),
    ],
    ids=str,
)
def test_a_model_without_units_to_take_away_is_told_so(layers, message):
    with pytest.raises(MeasureError, match=message):
        check(fitted_of(*layers), [build("saliency")])


def test_training_on_needs_a_loss():
    fitted = fitted_of(*chain())
    lossless = Fitted(fitted.module, {"train": blobs(), "val": blobs()}, name="own")
    check(lossless, [build("saliency")])
    with pytest.raises(MeasureError, match=r"a loss to train on, but own has none: .*retrain at 0"):
        check(lossless, [build("saliency", {"retrain": 1})])


@pytest.mark.parametrize(
    "options", [{"sparsities": [1.5]}, {"rows": 0}, {"retrain": -1}, {"retrain_lr": 0}], ids=str
)
def test_wrong_options_get_one_line(options):
    with pytest.raises(InvalidValueError, match="sparsities must be in"):
        build("saliency", options)


def test_the_picture_is_drawn(tmp_path):
    build("saliency").pictures(fitted_of(*chain()), tmp_path)
    assert (tmp_path / "saliency.png").read_bytes().startswith(b"\x89PNG")
