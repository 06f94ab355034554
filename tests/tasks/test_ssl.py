import logging
import math

import lightning as L
import numpy as np
import pytest
import torch

import actsearch
from actsearch.errors import ActsearchError, InvalidValueError, UnknownNameError
from actsearch.run import run_search
from actsearch_tasks._augment import augment
from actsearch_tasks._ssl_objectives import negative_cosine, vicreg
from actsearch_tasks.ssl import SelfSupervised

SMALL = {"width": 4, "embedding": 8}


@pytest.fixture(autouse=True)
def _quiet():
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)


def trainer(epochs):
    return L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def build(seed=0, **options):
    L.seed_everything(seed, verbose=False)
    return SelfSupervised(**(SMALL | options))


def fit(task, epochs=1):
    run = trainer(epochs)
    run.fit(task)
    return {name: float(value) for name, value in run.callback_metrics.items()}


@pytest.mark.parametrize("objective", ["simsiam", "byol", "vicreg"])
def test_trains_with_a_bare_trainer_and_logs_what_it_names(objective, tmp_path):
    task = build(objective=objective)
    parts = {site.block for site in actsearch.find_sites(task, task.example_input_array)}
    assert parts == {"encoder", "projector"} | ({"predictor"} if objective != "vicreg" else set())
    before = {name: p.detach().clone() for name, p in task.named_parameters()}
    metrics = fit(task, epochs=3)
    assert metrics[task.monitor] > 0.5, metrics
    assert 1 <= metrics["val_effective_rank"] <= 8
    assert 0 < metrics["val_isotropy"] < 1
    assert 0 < metrics["val_embedding_deviation"] <= 1 / math.sqrt(8)
    assert 0 < metrics["val_alignment"] < 4
    assert metrics["val_uniformity"] < 0
    assert math.isfinite(metrics["val_loss"])
    assert not [name for name, p in task.named_parameters() if torch.equal(p, before[name])]
    (result,) = trainer(1).test(task, verbose=False)
    assert {"test_knn_accuracy", task.test_metric} <= result.keys()
    task.pictures(tmp_path)
    for name in ("spectrum.png", "projection.png", "views.png"):
        assert (tmp_path / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_same_seed_same_numbers_and_another_seed_others():
    first, again, other = (fit(build(seed, objective="byol")) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def views(task):
    torch.manual_seed(0)
    x = task._inputs[:32]
    return augment(x), augment(x)


def test_the_switch_is_the_stop_gradient_of_simsiam():
    gradients = {}
    for kept in (True, False):
        task = build(anti_collapse=kept)
        first, second = views(task)
        loss = task._objective(first, second)
        loss.backward()
        gradients[kept] = task.encoder.conv_1.weight.grad.clone(), loss.detach()
        (_, z1, p1), (_, z2, p2) = task(first), task(second)
        expected = (negative_cosine(p1, z2) + negative_cosine(p2, z1)) / 2
        torch.testing.assert_close(loss, expected)
    assert not torch.allclose(gradients[True][0], gradients[False][0])


def test_byols_target_follows_by_momentum_and_without_the_switch_there_is_none():
    task = build(objective="byol", momentum=0.9)
    task.on_fit_start()
    start = task._target["encoder"]["conv_1.weight"].clone()
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
    assert not torch.allclose(task._target_embedding(first), z)
    task.encoder.load_state_dict(task.encoder.state_dict() | online)
    task._target_embedding(second)
    own = task.encoder.state_dict()
    assert all(
        torch.equal(own[name], tensor) for name, tensor in online.items()
    )  # its statistics are its own
    task.on_train_batch_end(None, None, 0)
    torch.testing.assert_close(task._target["encoder"]["conv_1.weight"], start + 0.1)
    off = build(objective="byol", anti_collapse=False)
    off.on_fit_start()
    assert not off._target


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
    torch.testing.assert_close(task._objective(first, second), vicreg(z1, z2, variance=0.0))


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
    small = (
        (augment(images, 0.01, torch.Generator().manual_seed(0)) - images)
        .abs()
        .flatten(1)
        .median(1)
        .values
    )
    assert (small < 0.05).all()


def test_reads_images_of_other_sizes(tmp_path):
    generator = np.random.default_rng(0)
    np.savez(
        tmp_path / "images.npz",
        images=generator.normal(size=(60, 11, 14, 3)),
        labels=np.repeat([0, 1], 30),
    )
    metrics = fit(build(data=str(tmp_path / "images.npz")))
    assert 0 <= metrics["val_probe_accuracy"] <= 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"data": "digit"}, UnknownNameError, "unknown data 'digit'; nearest: digits"),
        (
            {"data": "wine"},
            InvalidValueError,
            r"data must be images, but wine has rows of shape \(13,\)",
        ),
        (
            {"objective": "moco"},
            InvalidValueError,
            "objective must be one of simsiam, byol, vicreg, but got 'moco'",
        ),
        ({"schedule": "linear"}, InvalidValueError, "schedule must be one of constant, cosine"),
        ({"width": 0}, InvalidValueError, "width must be a whole number of at least 1, but got 0"),
        (
            {"embedding": 1},
            InvalidValueError,
            "embedding must be a whole number of at least 2, but got 1",
        ),
        (
            {"batch_size": 1},
            InvalidValueError,
            "batch_size must be a whole number of at least 2, but got 1",
        ),
        ({"neighbours": 0}, InvalidValueError, "neighbours must be a whole number of at least 1"),
        ({"momentum": 1.0}, InvalidValueError, "momentum must be between 0 and 1, but got 1.0"),
        ({"strength": 0.0}, InvalidValueError, "strength must be between 0 and inf"),
        ({"lr": float("nan")}, InvalidValueError, "lr must be between 0 and inf"),
        (
            {"weight_decay": -1.0},
            InvalidValueError,
            "weight_decay must be a finite number of at least 0",
        ),
    ],
    ids=str,
)
def test_bad_options_get_one_line(options, error, message):
    with pytest.raises(error, match=message) as caught:
        SelfSupervised(**options)
    assert isinstance(caught.value, ActsearchError)
    assert "\n" not in str(caught.value)


def test_a_smoke_search_under_both_objectives(tmp_path):
    result = run_search(
        "ssl",
        trials=3,
        store=tmp_path,
        executor="inline",
        confirm=0,
        objectives=["val_probe_accuracy:max", "val_effective_rank:max"],
        config={
            "task.width": 4,
            "task.embedding": 8,
            "trainer.max_epochs": 1,
            "trainer.accelerator": "cpu",
        },
    )
    assert [trial.state.name for trial in result.trials] == ["COMPLETE"] * 3, result.trials
    assert all(1 <= trial.values[1] <= 8 for trial in result.trials)
    chosen = {name.split(".")[0]: entry.activation for name, entry in result.best.sites.items()}
    assert all(
        entry.activation == chosen[name.split(".")[0]] for name, entry in result.best.sites.items()
    )
    parts = {name for trial in result.trials for name in trial.params}
    assert all(
        any(part in name for name in parts) for part in ("encoder", "projector", "predictor")
    ), parts
