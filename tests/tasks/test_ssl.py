import math

import numpy as np
import pytest
import torch

import actsearch
from actsearch.errors import InvalidValueError
from actsearch.task import laws
from actsearch_tasks.ssl import SelfSupervised
from actsearch_tasks.ssl.augment import augment
from actsearch_tasks.ssl.objectives import negative_cosine, vicreg

SMALL = {"width": 4, "embedding": 8}
OBJECTIVES = ["simsiam", "byol", "vicreg"]


class TestSelfSupervised(laws.TaskLaws):
    @pytest.fixture
    def task(self):
        return SelfSupervised

    @pytest.fixture
    def small(self):
        return SMALL | {"objective": "byol"}

    @pytest.fixture(params=OBJECTIVES)
    def variant(self, request):
        return {"objective": request.param}


def build(seed=0, **options):
    return laws.build_task(SelfSupervised, SMALL | options, seed)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_learns_and_measures_what_it_has_learned(objective):
    task = build(objective=objective)
    parts = {site.block for site in actsearch.find_sites(task, task.example_input_array)}
    assert parts == {"encoder", "projector"} | ({"predictor"} if objective != "vicreg" else set())
    before = {name: p.detach().clone() for name, p in task.named_parameters()}
    metrics = laws.fit(task, epochs=3)
    assert metrics[task.monitor] > 0.5, metrics
    assert 1 <= metrics["val_effective_rank"] <= 8
    assert 0 < metrics["val_isotropy"] < 1
    assert 0 < metrics["val_embedding_deviation"] <= 1 / math.sqrt(8)
    assert 0 < metrics["val_alignment"] < 4
    assert metrics["val_uniformity"] < 0
    assert math.isfinite(metrics["val_loss"])
    assert not [name for name, p in task.named_parameters() if torch.equal(p, before[name])]
    (result,) = laws.trainer().test(task, verbose=False)
    assert result.keys() == {"test_knn_accuracy", task.test_metric}


def views(task):
    torch.manual_seed(0)
    x = task.tensors[0][:32]
    return augment(x), augment(x)


def test_the_switch_is_the_stop_gradient_of_simsiam():
    gradients = {}
    for kept in (True, False):
        task = build(anti_collapse=kept)
        first, second = views(task)
        loss = task.objective(first, second)
        loss.backward()
        gradients[kept] = task.encoder.conv_1.weight.grad.clone(), loss.detach()
        (_, z1, p1), (_, z2, p2) = task(first), task(second)
        expected = (negative_cosine(p1, z2) + negative_cosine(p2, z1)) / 2
        torch.testing.assert_close(loss, expected)
    assert not torch.allclose(gradients[True][0], gradients[False][0])


def test_byols_target_follows_by_momentum_and_without_the_switch_there_is_none():
    task = build(objective="byol", momentum=0.9)
    task.on_fit_start()
    start = task.target["encoder"]["conv_1.weight"].clone()
    assert torch.equal(start, task.encoder.conv_1.weight)
    with torch.no_grad():
        task.encoder.conv_1.weight += 1
    online = {
        name: tensor.clone()
        for name, tensor in task.encoder.state_dict().items()
        if "running" in name
    }
    first, second = views(task)
    _, z, _ = task(first)
    assert not torch.allclose(task.target_embedding(first), z)
    task.encoder.load_state_dict(task.encoder.state_dict() | online)
    task.target_embedding(second)
    own = task.encoder.state_dict()  # its statistics are its own
    assert all(torch.equal(own[name], tensor) for name, tensor in online.items())
    task.on_train_batch_end(None, None, 0)
    torch.testing.assert_close(task.target["encoder"]["conv_1.weight"], start + 0.1)
    off = build(objective="byol", anti_collapse=False)
    off.on_fit_start()
    assert not off.target


def test_vicreg_is_its_formula_and_the_switch_its_variance_term():
    torch.manual_seed(0)
    a, b = torch.randn(2, 20, 5, dtype=torch.float64) * 0.7
    expected = 25 * ((a - b) ** 2).mean()
    off = expected.clone()
    for z in (a, b):
        deviation = torch.sqrt(z.var(0) + 1e-4)
        expected = expected + 25 * torch.clamp(1 - deviation, min=0).mean() / 2
        centred = z - z.mean(0)
        matrix = centred.T @ centred / 19
        crossed = sum(matrix[i, j] ** 2 for i in range(5) for j in range(5) if i != j) / 5
        expected, off = expected + crossed, off + crossed
    torch.testing.assert_close(vicreg(a, b), expected)
    torch.testing.assert_close(vicreg(a, b, variance=0.0), off)
    task = build(objective="vicreg", anti_collapse=False)
    first, second = views(task)
    z1, z2 = task(first)[1], task(second)[1]
    torch.testing.assert_close(task.objective(first, second), vicreg(z1, z2, variance=0.0))


def test_views_differ_within_bounds_and_by_seed_alone():
    images = torch.rand(50, 3, 8, 8)
    first, again, other = (
        augment(images, 1.0, torch.Generator().manual_seed(s)) for s in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert first.shape == images.shape
    changed = (first != other).flatten(1).float().mean(1)
    assert (changed > 0.5).all()
    assert torch.equal(augment(images, 0.0), images)
    moved = (augment(images, 0.01, torch.Generator().manual_seed(0)) - images).abs().flatten(1)
    assert (moved.median(1).values < 0.05).all()


def test_reads_images_of_other_sizes(tmp_path):
    generator = np.random.default_rng(0)
    np.savez(
        tmp_path / "images.npz",
        images=generator.normal(size=(60, 11, 14, 3)),
        labels=np.repeat([0, 1], 30),
    )
    metrics = laws.fit(build(data=str(tmp_path / "images.npz")))
    assert 0 <= metrics["val_probe_accuracy"] <= 1


def test_tables_are_refused():
    message = r"data must be images, but wine has rows of shape \(13,\)"
    with pytest.raises(InvalidValueError, match=message):
        build(data="wine")
