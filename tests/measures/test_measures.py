"""Each measure against what it is known to be, on a module that was built for it."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from actsearch.measures import Fitted, build
from actsearch.measures.functional.calibration_error import calibration_error
from actsearch.measures.functional.gradient_flow import gradient_flow
from actsearch.measures.functional.knn_accuracy import knn_accuracy
from actsearch.measures.functional.latency import latency
from actsearch.measures.functional.parameters import parameters
from actsearch.measures.functional.peak_memory import peak_memory
from actsearch.placement import Site
from actsearch.placement.recurrent import RNN


def blobs(size=16):
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(96) % 3
    x = torch.randn(96, 4, generator=generator) + 3 * torch.eye(4)[y]
    return list(zip(x.split(size), y.split(size), strict=True))


def loss_of(module, batch):
    x, y = batch
    return F.cross_entropy(module(x), y)


def trained(*layers):
    torch.manual_seed(0)
    model = nn.Sequential(*layers)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(20):
        for batch in blobs():
            optimiser.zero_grad()
            loss_of(model, batch).backward()
            optimiser.step()
    return model


def mlp():
    return trained(nn.Linear(4, 8), Site("tanh"), nn.Linear(8, 8), Site("relu"), nn.Linear(8, 3))


def test_names_of_the_measures_that_a_search_had_before_have_the_same_numbers():
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.ReLU()).train()
    example = blobs()[0][0]
    before = copy.deepcopy(model.state_dict())
    fitted = Fitted(model, example=example)
    measured = {
        name: build(name).values(fitted)[name] for name in ("latency", "parameters", "peak_memory")
    }
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert measured["parameters"] == parameters(model, example)
    assert measured["peak_memory"] == peak_memory(model, example) > 0
    assert measured["latency"] > 0


def test_an_example_may_be_several_arguments():
    class Two(nn.Module):
        def forward(self, a, b=None):
            return a if b is None else (a * b).relu()

    pair = torch.randn(5, 2, requires_grad=True), torch.randn(5, 2)
    assert peak_memory(Two(), pair) == peak_memory(Two(), {"a": pair[0], "b": pair[1]}) > 0
    assert latency(Two(), pair) > 0


def test_embeddings_of_all_batches_meet_labels_of_the_same_rows():
    model, batches = mlp(), blobs()
    x, y = (torch.cat(part) for part in zip(*batches, strict=True))
    embedded = model[:4](x).detach()
    fitted = Fitted(model, {"train": batches[:4], "val": batches[4:]})
    expected = knn_accuracy(embedded[64:], y[64:], embedded[:64], y[:64], k=5)
    assert build("knn_accuracy", {"k": 5}).values(fitted) == {"knn_accuracy": expected}


def test_gradient_flow_is_that_of_the_module_by_its_sites_names():
    model, batch = mlp().eval(), blobs()[0]
    fitted = Fitted(model, {"train": [batch], "val": [batch]}, loss=loss_of)
    found = build("gradient_flow", {"quantities": ["gradient_norm", "kappa"]}).values(fitted)
    flows = gradient_flow(model, lambda: loss_of(model, batch))
    assert found == {
        f"gradient_flow/{quantity}/{flow.name}": getattr(flow, quantity)
        for flow in flows
        for quantity in ("gradient_norm", "kappa")
    }


def test_the_gradient_ratio_is_of_the_first_site_and_the_last():
    model, batch = mlp().eval(), blobs()[0]
    fitted = Fitted(model, {"train": [batch], "val": [batch]}, loss=loss_of)
    first, last = gradient_flow(model, lambda: loss_of(model, batch))
    found = build("gradient_ratio").values(fitted)["gradient_ratio"]
    assert found == pytest.approx((first.gradient_variance / last.gradient_variance) ** 0.5)


class Recurrent(nn.Module):
    def __init__(self, decay):
        super().__init__()
        torch.manual_seed(0)
        self.cell, self.head = RNN(1, 8, activation="identity", bias=False), nn.Linear(8, 3)
        with torch.no_grad():
            self.cell.weight_hh_l0.copy_(decay * torch.eye(8))

    def forward(self, x):
        return self.head(self.cell(x.T[..., None])[0][-1])


def test_the_gradient_of_each_step_and_what_is_left_at_the_first():
    # Back through four steps of x, the identity takes half of the gradient in each of three.
    batch = blobs()[0]
    fitted = Fitted(Recurrent(0.5), {"train": [batch], "val": [batch]}, loss=loss_of)
    assert build("gradient_ratio").values(fitted)["gradient_ratio"] == pytest.approx(0.5**3)
    name = "gradient_flow/gradient_norm/cell.activation_l0"
    options = {"quantities": ["gradient_norm"], "each_run": True}
    found = build("gradient_flow", options).values(fitted)
    assert found.keys() == {name, *(f"{name}/{run}" for run in range(4))}
    steps = [found[f"{name}/{run}"] for run in range(4)]
    assert steps == pytest.approx([steps[3] * 0.5**back for back in (3, 2, 1, 0)])
    assert found[name] == pytest.approx(sum(step**2 for step in steps) ** 0.5)


def test_the_picture_of_gradient_flow_is_of_the_start_too_where_that_is_known(tmp_path):
    batch = blobs()[0]
    start = Fitted(Recurrent(0.5), {"train": [batch]}, loss=loss_of)
    files = []
    for given in (None, start):
        fitted = Fitted(Recurrent(0.9), {"train": [batch]}, loss=loss_of, start=given)
        build("gradient_flow").pictures(fitted, tmp_path)
        files.append((tmp_path / "gradient_flow.png").read_bytes())
    assert files[0].startswith(b"\x89PNG")
    assert files[0] != files[1]


def test_sites_are_averaged():
    model, batch = mlp().eval(), blobs()[0]
    fitted = Fitted(model, {"train": [batch], "val": [batch]}, loss=loss_of)
    flows = gradient_flow(model, lambda: loss_of(model, batch))
    for name, quantity in (
        ("sparsity", "sparsity"),
        ("dead_units", "dead"),
        ("relative_gradient_noise", "kappa"),
    ):
        mean = sum(getattr(flow, quantity) for flow in flows) / len(flows)
        assert build(name).values(fitted)[name] == pytest.approx(mean)


def test_alignment_is_0_for_views_that_are_the_same():
    class Views(nn.Sequential):
        def views(self, x):
            return x, 2 * x

    linear = Views(nn.Linear(4, 8, bias=False), nn.Identity(), nn.Linear(8, 3))
    fitted = Fitted(linear, {"val": blobs()})
    assert build("alignment").values(fitted)["alignment"] == pytest.approx(0, abs=1e-12)


def test_calibration_is_of_the_measured_split_and_its_temperature_of_validation():
    torch.manual_seed(0)
    z = 2 * torch.randn(4000, 5)
    y = torch.multinomial(z.softmax(1), 1).squeeze(1)
    val, test = [(3 * z[:2000], y[:2000])], [(6 * z[2000:], y[2000:])]
    identity = Fitted(nn.Identity(), {"val": val, "test": test}, part="test")
    found = build("calibration", {"bins": 10, "norm": "l2"}).values(identity)
    temperature = found["calibration/temperature"]
    assert temperature == pytest.approx(3, rel=0.1)
    scores = 6 * z[2000:].double()
    assert found["calibration/nll_after_temperature"] == pytest.approx(
        float(F.cross_entropy(scores / temperature, y[2000:]))
    )
    confidence, taken = scores.softmax(1).max(1)
    right = taken == y[2000:]
    expected = calibration_error(confidence, right, 10, norm="l2")
    assert found["calibration/error"] == pytest.approx(expected)
    assert found["calibration/error"] > found["calibration/error_after_temperature"]
    each = [
        calibration_error(scores.softmax(1)[:, k], y[2000:] == k, 10, norm="l2") for k in range(5)
    ]
    assert found["calibration/class_wise_error"] == pytest.approx(sum(each) / 5)
    after = found["calibration/class_wise_error_after_temperature"]
    assert after < found["calibration/class_wise_error"]


def test_a_clip_keeps_the_class_of_the_logits_and_tells_what_it_would_lose():
    # Two classes that the model tells apart hardly better than chance: the best clip ties them.
    z = torch.tensor([[8.5, 9.0, 0.0]]).repeat(45, 1)
    right = torch.arange(45) < 25
    z[~right] = torch.tensor([9.0, 8.5, 0.0])
    fitted = Fitted(nn.Identity(), {"val": [(z, torch.ones(45, dtype=torch.long))]})
    found = {k.partition("/")[2]: v for k, v in build("calibration").values(fitted).items()}
    assert found["clip"] < 8.5
    assert (found["accuracy"], found["accuracy_after_clip"]) == (pytest.approx(25 / 45), 0.0)
    scores = z.double().clamp(-found["clip"], found["clip"])
    assert found["error_after_clip"] == pytest.approx(
        calibration_error(scores.softmax(1).amax(1), right)
    )
