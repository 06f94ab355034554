import sys
from statistics import fmean

import numpy as np
import pytest
import torch

from actsearch import Placement, find_sites
from actsearch.errors import InvalidValueError, TaskError, UnknownNameError
from actsearch.measures import Fitted, build
from actsearch.task import laws
from actsearch_tasks.multitask import MultiTask
from actsearch_tasks.multitask.combination import make_weighting, pcgrad_weights

VARIANTS = [{}, {"heads": ["ink", "parity"], "depth": 1}, {"combine": "pcgrad", "batch_size": 128}]

CLIPPED = {"activation": "clipped_relu", "parameters": {"ceiling": 1}}


class TestMultiTask(laws.TaskLaws):
    @pytest.fixture
    def task(self):
        return MultiTask

    @pytest.fixture
    def small(self):
        return {"hidden": 16}

    @pytest.fixture(params=VARIANTS, ids=str)
    def variant(self, request):
        return request.param


def build_with(activation="relu", seed=0, **options):
    task = laws.build_task(MultiTask, options, seed)
    if activation != "relu":
        Placement.uniform(activation, find_sites(task)).apply(task)
    return task


@pytest.mark.claim
def test_a_clip_that_binds_changes_the_cosine():
    changes = []
    for seed in range(3):
        one, other = (laws.fit(build_with(name, seed), epochs=5) for name in ("relu", CLIPPED))
        changes.append(other["cosine/class-ink"] - one["cosine/class-ink"])
    assert max(changes) < 0
    assert fmean(changes) < -0.015


def test_heads_learn_and_what_is_tracked_is_what_autograd_says():
    task = build_with()
    found = laws.fit(task, 3)
    assert found["val_accuracy/class"] > 0.8
    assert found["val_accuracy/parity"] > 0.9
    heads = ("class", "parity", "ink")
    assert found["val_loss"] == pytest.approx(fmean(found[f"val_loss/{h}"] for h in heads))
    assert found["val_loss"] < 0.3
    assert len(task._tracked["cosine/class-ink"]) == -(-3 * 34 // 4)
    below = fmean(c < 0 for c in task._tracked["cosine/class-ink"])
    assert found["conflict/class-ink"] == pytest.approx(below)

    batch = tuple(t[:32] for t in task.select("train"))
    gradients = [
        torch.cat([g.flatten() for g in torch.autograd.grad(loss, task.trunk.parameters())])
        for loss in (task.losses(batch)[head] for head in heads)
    ]
    task.on_fit_start()
    task.loss(batch)
    (cosine,) = task._tracked["cosine/class-ink"]
    expected = torch.cosine_similarity(gradients[0], gradients[2], dim=0)
    assert cosine == pytest.approx(float(expected), abs=1e-5)
    assert task._tracked["gradient_norm/parity"] == [pytest.approx(float(gradients[1].norm()))]


def test_a_constant_has_a_relative_loss_of_1():
    task = build_with()
    for out, y in zip(task.outputs, task.select("train")[1:], strict=True):
        out.weight.data.zero_()
        shares = y.bincount() / len(y) if not y.is_floating_point() else torch.ones(1)
        out.bias.data = shares.log()  # of ink: 0, its mean
    with torch.no_grad():
        scores = task.score(task.select("train"))
    for head in task.heads:
        assert float(scores[f"loss/{head}"].mean()) == pytest.approx(1, rel=1e-4)


def reference_pcgrad(gradients, orders):
    """Algorithm 1 of the paper, gradient by gradient."""
    total = torch.zeros_like(gradients[0])
    for own, order in enumerate(orders):
        g = gradients[own].clone()
        for other in order:
            if other != own and g @ gradients[other] < 0:
                g -= (g @ gradients[other]) / gradients[other].square().sum() * gradients[other]
        total += g
    return total


def test_pcgrad_is_the_papers():
    gradients = torch.randn(4, 6, generator=torch.Generator().manual_seed(1)).double()
    assert ((gradients @ gradients.T) < 0).any()
    torch.manual_seed(0)
    weights = pcgrad_weights(gradients @ gradients.T)
    torch.manual_seed(0)
    orders = [torch.randperm(4).tolist() for _ in range(4)]
    torch.testing.assert_close(weights @ gradients, reference_pcgrad(gradients, orders))
    agreeing = gradients.abs()
    assert pcgrad_weights(agreeing @ agreeing.T).tolist() == [1] * 4


def test_of_opposed_losses_the_trunk_gets_nothing_and_each_head_its_own():
    """Projected is each loss's gradient, not their sum: that of the sum would be left as it is."""
    task = build_with(combine="pcgrad", heads=["parity", "ink"], hidden=8)
    batch = tuple(t[:32] for t in task.select("train"))

    def opposed(seen, batch):
        (one, other) = (out(z)[:, 0].sum() for out, z in zip(task.outputs, seen, strict=True))
        return [one, -3 * other]

    task._losses = opposed
    for out in task.outputs:
        out.weight.data[0] = 1.0
    task.loss(batch).backward()
    assert all(p.grad.abs().max() < 1e-3 for p in task.trunk.parameters())
    assert [float(out.bias.grad[0]) for out in task.outputs] == [32, -96]


def test_the_trunk_gets_the_weighted_gradients_and_heads_their_own():
    task = build_with(combine="pcgrad")
    weights = torch.tensor([0.5, 2.0, 0.0])
    task.weighting = lambda products: weights
    batch = tuple(t[:32] for t in task.select("train"))
    loss = task.loss(batch)
    loss.backward()
    losses = list(task.losses(batch).values())
    assert float(loss.detach()) == pytest.approx(float(sum(losses).detach()), rel=1e-6)
    expected = torch.autograd.grad(
        (weights * torch.stack(losses)).sum(), task.trunk.parameters(), retain_graph=True
    )
    for parameter, gradient in zip(task.trunk.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    for out, one in zip(task.outputs, losses, strict=True):
        torch.testing.assert_close(out.weight.grad, *torch.autograd.grad(one, out.weight))


@pytest.mark.parametrize("combine", ["upgrad", "cagrad", "mgda"])
def test_torchjds_weightings_train(combine):
    pytest.importorskip("torchjd")
    pytest.importorskip({"upgrad": "quadprog", "cagrad": "cvxpy", "mgda": "torchjd"}[combine])
    gradients = torch.tensor([[1.0, 0.0], [-3.0, 1.0], [0.5, 1.0]])
    products = gradients @ gradients.T
    worst = (products @ make_weighting(combine)(products)).min()
    assert worst > products.mean(1).min()  # of what their mean does to each loss
    before = build_with(combine=combine)
    with torch.no_grad():
        untrained = float(before.score(before.select("val"))["loss"].mean())
    assert laws.fit(before, 2)["val_loss"] < 0.5 * untrained


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchjd", None)
    with pytest.raises(TaskError, match=r'pip install "actsearch\[multitask\]"') as caught:
        MultiTask(combine="mgda")
    assert "\n" not in str(caught.value)


@pytest.fixture
def own(tmp_path):
    x = np.random.default_rng(0).normal(5, 3, size=(200, 4))
    life = 1e6 * np.stack([x[:, 0], x[:, 1]], 1)
    return tmp_path / "own.npz", {"x": x, "state": np.where(x[:, 2] > 5, "on", "off"), "life": life}


def test_targets_of_ones_own_in_any_unit(own):
    path, arrays = own
    np.savez(path, **arrays)
    task = build_with(data=str(path))
    assert task.heads == ["state", "life"]
    found = laws.fit(task, 20)
    assert found["val_loss"] < 0.2
    values = build("gradient_cosine").values(Fitted(task))
    assert list(values) == ["gradient_cosine/state-life"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": None}, "must hold numbers x .* but got no x and targets state, life"),
        ({"life": None}, r"but got x \(200, 4\) and targets state"),
        ({"life": np.zeros((200, 2, 2))}, r"life of .* must be classes .* got float64 \(200, 2, 2"),
        ({"life": np.full(200, np.nan)}, "life of .* must be finite"),
        ({"life": np.ones(200)}, "life must vary over the training split, but is one value"),
        ({"state": np.ones(199, int)}, r"state of .* must be classes \(200,\) or .* int64 \(199,"),
    ],
    ids=str,
)
def test_files_that_do_not_fit_get_one_line(own, change, message):
    path, arrays = own
    np.savez(path, **{k: v for k, v in (arrays | change).items() if v is not None})
    with pytest.raises(InvalidValueError, match=message) as caught:
        MultiTask(data=str(path))
    assert "\n" not in str(caught.value)


def test_options_that_do_not_fit_are_refused():
    with pytest.raises(UnknownNameError, match="unknown head 'clas'; nearest: class"):
        MultiTask(heads=["clas", "ink"])
    for heads in (["ink"], ["ink", "ink"], []):
        with pytest.raises(InvalidValueError, match="heads must be two or more of class, parity"):
            MultiTask(heads=heads)
    with pytest.raises(UnknownNameError, match="nearest: digits"):
        MultiTask(data="digit")
