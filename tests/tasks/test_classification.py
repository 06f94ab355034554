import logging

import lightning as L
import numpy as np
import pytest
import torch

import actsearch
from actsearch.errors import ActsearchError, InvalidValueError, TaskError, UnknownNameError
from actsearch_tasks._loader import TensorLoader, split, standardise
from actsearch_tasks.classification import Classification


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


def fit(task, epochs=1):
    run = trainer(epochs)
    run.fit(task)
    return {name: float(value) for name, value in run.callback_metrics.items()}


def build(seed=0, **options):
    L.seed_everything(seed, verbose=False)
    return Classification(**options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"backbone": "lenet"},
        {"backbone": "resnet", "hidden": 4},
        {
            "backbone": "resnet",
            "hidden": 4,
            "residual": "post_activation",
            "norm_position": "either",
        },
        {"backbone": "resnet", "hidden": 4, "normalisation": "none", "residual": "post_activation"},
        {"backbone": "transformer", "hidden": 16, "depth": 1, "lr": 5e-3},
        {
            "backbone": "transformer",
            "hidden": 16,
            "depth": 1,
            "lr": 5e-3,
            "residual": "post_activation",
        },
        {"data": "wine", "normalisation": "batch", "norm_position": "after"},
        {"data": "breast_cancer", "schedule": "constant"},
        {"data": "iris", "normalisation": "layer", "norm_position": "either"},
    ],
    ids=str,
)
def test_trains_with_a_bare_trainer_and_logs_what_it_names(options):
    task = build(**options)
    assert len(actsearch.find_sites(task, task.example_input_array)) > 0
    metrics = fit(task, epochs=2)
    assert metrics[task.monitor] > 1.2 / len(task.classes), (
        metrics
    )  # better than chance after two epochs
    assert np.isfinite(metrics["val_loss"])
    (result,) = trainer(1).test(task, verbose=False)
    assert {"test_loss", task.test_metric} <= result.keys()


def test_defaults_reach_their_accuracy():
    task = build()
    metrics = fit(task, **{"epochs": task.trainer_defaults["max_epochs"]})
    assert metrics["val_accuracy"] >= 0.96, metrics


def test_same_seed_same_numbers_and_another_seed_others():
    first, again, other = (fit(build(seed), epochs=2) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_reads_every_site_name_as_part_of_the_network():
    def names(**options):
        task = build(**options)
        return [site.name for site in actsearch.find_sites(task, task.example_input_array)]

    assert names() == [f"network.layer_{i}.activation" for i in (1, 2, 3, 4)]
    assert names(depth=1, normalisation="batch", norm_position="either") == [
        "network.layer_1.early_activation",
        "network.layer_1.activation",
    ]
    assert names(backbone="lenet") == [
        "network.features.activation_1",
        "network.features.activation_2",
        "network.classifier.activation_3",
        "network.classifier.activation_4",
    ]
    assert names(backbone="resnet", depth=1) == [
        "network.block_1.activation_1",
        "network.block_1.activation_2",
        "network.last.activation",
    ]
    assert names(backbone="resnet", depth=1, residual="post_activation") == [
        "network.stem.activation",
        "network.block_1.activation_1",
        "network.block_1.activation_2",
    ]
    assert names(backbone="transformer", depth=2) == [
        "network.block_1.activation",
        "network.block_2.activation",
    ]


@pytest.mark.filterwarnings("ignore:nothing of:actsearch.errors.ActsearchWarning")
def test_either_side_of_normalisation_equals_each_layout():
    """With the early site identity it is the usual order.

    With the late one identity, the activation comes first.
    """
    for position, early, late in (("before", "identity", "relu"), ("after", "relu", "identity")):
        plain = build(normalisation="batch", norm_position=position)
        both = build(normalisation="batch", norm_position="either")
        both.network.load_state_dict(plain.network.state_dict())
        sites = actsearch.find_sites(both)
        for name, kind in (("early_activation", early), ("activation", late)):
            chosen = [site.name for site in sites if site.name.endswith(f".{name}")]
            actsearch.Placement.uniform(kind, chosen).apply(both)
        torch.testing.assert_close(
            both(both.example_input_array), plain(plain.example_input_array), rtol=0, atol=0
        )


def test_every_layer_gets_a_gradient():
    for backbone in ("mlp", "lenet", "resnet", "transformer"):
        task = build(backbone=backbone)
        x, y = next(iter(task.train_dataloader()))
        task.training_step((x, y), 0).backward()
        missed = [name for name, p in task.named_parameters() if p.grad is None or not p.grad.any()]
        assert not missed, (backbone, missed)


def test_splits_are_disjoint_stratified_and_depend_on_split_seed_alone():
    a, b, c = build(0), build(1), build(0, split_seed=1)
    parts = [set(p.tolist()) for p in (a._splits.train, a._splits.validation, a._splits.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 1797
    assert [len(p) for p in parts] == [1077, 360, 360]
    assert torch.equal(a._splits.test, b._splits.test)
    assert not torch.equal(a._splits.test, c._splits.test)
    counts = torch.bincount(a._labels[a._splits.test])
    assert counts.min() >= 34
    assert counts.max() <= 38


def test_inputs_are_standardised_on_training_rows_only():
    task = build(data="wine")
    train = task._inputs[task._splits.train]
    torch.testing.assert_close(train.mean(0), torch.zeros(13), atol=1e-5, rtol=0)
    torch.testing.assert_close(train.var(0, correction=0), torch.ones(13), atol=1e-4, rtol=0)
    x = torch.tensor([[0.0, 5.0], [2.0, 5.0], [float("nan"), 5.0], [100.0, 7.0]])
    expected = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [99.0, 2.0]])
    assert torch.equal(standardise(x, torch.tensor([0, 1, 2])), expected)


def test_test_rows_are_never_in_a_batch_of_training_or_validation():
    task = build(data="wine")
    held_out = {tuple(row) for row in task._inputs[task._splits.test].tolist()}
    for loader in (task.train_dataloader(), task.val_dataloader()):
        assert not held_out & {tuple(row) for x, _ in loader for row in x.tolist()}


def test_changing_the_test_rows_changes_nothing_of_a_fit():
    plain, altered = build(), build()
    altered._inputs[altered._splits.test] = torch.nan
    assert fit(plain) == fit(altered)


def test_gradient_flow_is_logged_where_asked_and_changes_nothing_of_a_fit():
    with_it = fit(build(log_gradient_flow=True, normalisation="batch"), epochs=2)
    without = fit(build(normalisation="batch"), epochs=2)
    assert with_it["gradient_norm/layer_1.activation"] > 0
    assert {name: with_it[name] for name in without} == without


def test_pictures_are_written(tmp_path):
    task = build()
    fit(task)
    task.pictures(tmp_path)
    for name in ("confusion_matrix.png", "misclassified.png"):
        assert (tmp_path / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert task.training  # the mode is left as it was


def test_reads_npz_of_rows_and_of_images(tmp_path):
    generator = np.random.default_rng(0)
    labels = np.repeat(np.array(["no", "yes"]), 20)
    np.savez(tmp_path / "rows.npz", x=generator.normal(size=(40, 5)), y=labels)
    task = build(data=str(tmp_path / "rows.npz"))
    assert task.classes == ("no", "yes")
    assert task.example_input_array.shape[1:] == (5,)
    for shape, expected in (
        ((40, 8, 8), (1, 8, 8)),
        ((40, 8, 9, 3), (3, 8, 9)),
        ((40, 3, 8, 9), (3, 8, 9)),
    ):
        np.savez(tmp_path / "images.npz", images=generator.normal(size=shape), labels=labels)
        task = build(data=str(tmp_path / "images.npz"), backbone="lenet")
        assert task.example_input_array.shape[1:] == expected
    np.savez(tmp_path / "flat.npz", x=np.arange(40 * 48).reshape(40, 48), y=labels)
    task = build(data=str(tmp_path / "flat.npz"), backbone="lenet", image_shape=(3, 4, 4))
    assert task.example_input_array.shape[1:] == (3, 4, 4)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"x": np.array([{"a": 1}] * 4, dtype=object), "y": np.arange(4)},
            "Object arrays cannot be loaded",
        ),
        (
            {"a": np.zeros((4, 2)), "y": np.arange(4)},
            "must hold arrays x and y, or images and labels, but got a, y",
        ),
        (
            {"x": np.zeros((4, 2)), "y": np.arange(3)},
            r"N inputs with N labels, but got shapes \(4, 2\) and \(3,\)",
        ),
        ({"x": np.full((4, 2), np.inf), "y": np.arange(4)}, "must be finite"),
        ({"x": np.full((4, 2), "a"), "y": np.arange(4)}, "must be real numbers, but got <U1"),
        ({"x": np.zeros((4, 2)), "y": np.zeros(4)}, "at least two classes, but got 1"),
        ({"x": np.zeros((4, 2)), "y": np.arange(4)}, "4 rows cannot be split"),
    ],
    ids=["pickle", "names", "lengths", "inf", "text", "one class", "too few"],
)
def test_bad_files_get_one_line(tmp_path, arrays, message):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(InvalidValueError, match=message) as caught:
        Classification(data=str(tmp_path / "bad.npz"))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_none_gets_one_line(tmp_path):
    (tmp_path / "text.npz").write_text("hello")
    for name in ("text.npz", "missing.npz"):
        with pytest.raises(
            InvalidValueError, match=r"must be an \.npz file of plain arrays"
        ) as caught:
            Classification(data=str(tmp_path / name))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"data": "digit"}, UnknownNameError, "unknown data 'digit'; nearest: digits"),
        (
            {"data": "diabetes"},
            InvalidValueError,
            "labelled by class, but diabetes has values to predict",
        ),
        ({"data": "torchvision:MNIST"}, TaskError, "torchvision:MNIST needs torchvision"),
        (
            {"backbone": "vgg"},
            InvalidValueError,
            "backbone must be one of mlp, lenet, resnet, transformer, but got 'vgg'",
        ),
        ({"data": "wine", "backbone": "resnet"}, InvalidValueError, "resnet must be given images"),
        (
            {"image_shape": (1, 7, 7)},
            InvalidValueError,
            r"image_shape must fit inputs of shape \(1, 8, 8\)",
        ),
        (
            {"hidden": 0},
            InvalidValueError,
            "hidden must be a whole number of at least 1, but got 0",
        ),
        (
            {"depth": 1.5},
            InvalidValueError,
            "depth must be a whole number of at least 1, but got 1.5",
        ),
        (
            {"backbone": "lenet", "depth": 3},
            InvalidValueError,
            "depth must be left alone for lenet",
        ),
        (
            {"norm_position": "after"},
            InvalidValueError,
            "norm_position must be before where nothing is normalised",
        ),
        (
            {"norm_position": "middle"},
            InvalidValueError,
            "norm_position must be one of before, after, either",
        ),
        ({"normalisation": "group"}, InvalidValueError, "normalisation must be one of"),
        (
            {"residual": "dense"},
            InvalidValueError,
            "residual must be one of post_activation, pre_activation",
        ),
        (
            {"backbone": "transformer", "patch": 3},
            InvalidValueError,
            "patch must divide the image's 8×8 pixels",
        ),
        (
            {"backbone": "transformer", "heads": 5},
            InvalidValueError,
            r"hidden must be a multiple of heads \(5\)",
        ),
        (
            {"backbone": "transformer", "normalisation": "batch"},
            InvalidValueError,
            "must have layer normalisation",
        ),
        (
            {"batch_size": 0},
            InvalidValueError,
            "batch_size must be a whole number of at least 1, but got 0",
        ),
        ({"lr": 0.0}, InvalidValueError, "lr must be between 0 and inf, but got 0.0"),
        ({"lr": float("nan")}, InvalidValueError, "lr must be between 0 and inf, but got nan"),
        (
            {"weight_decay": -1.0},
            InvalidValueError,
            "weight_decay must be a finite number of at least 0",
        ),
        ({"schedule": "linear"}, InvalidValueError, "schedule must be one of constant, cosine"),
        ({"validation_share": 1.0}, InvalidValueError, "validation_share must be between 0 and 1"),
        (
            {"test_share": 0.9},
            InvalidValueError,
            "test_share must be between 0 and 0.8, but got 0.9",
        ),
        ({"split_seed": -1}, InvalidValueError, "split_seed must be a whole number of at least 0"),
    ],
    ids=str,
)
def test_bad_options_get_one_line(options, error, message, monkeypatch):
    monkeypatch.setitem(
        __import__("sys").modules, "torchvision", None
    )  # as where it is not installed
    with pytest.raises(error, match=message) as caught:
        Classification(**options)
    assert isinstance(caught.value, ActsearchError)
    assert "\n" not in str(caught.value)


def test_loader_visits_every_row_once_in_an_order_that_its_seed_gives():
    def epochs(seed):
        torch.manual_seed(seed)
        loader = TensorLoader(torch.arange(10), batch_size=4, shuffle=True)
        torch.rand(3)  # other random numbers on the way change nothing
        return [[batch.tolist() for (batch,) in loader] for _ in range(2)]

    first, second = epochs(0)
    for epoch in (first, second):
        assert sorted(row for part in epoch for row in part) == list(range(10))
    assert first != second
    assert epochs(0) == [first, second]
    assert epochs(1) != [first, second]
    assert [len(part) for part in first] == [4, 4, 2]
    assert len(TensorLoader(torch.arange(10), batch_size=4, drop_last=True)) == 2
    assert len(TensorLoader(torch.arange(3), batch_size=4, drop_last=True)) == 1
    with pytest.raises(InvalidValueError, match="one common length above 0"):
        TensorLoader(torch.arange(2), torch.arange(3), batch_size=1)


def test_batch_normalisation_never_meets_a_batch_of_one():
    task = build(data="wine", normalisation="batch", batch_size=105)  # 106 rows to train on
    assert len(task._splits.train) == 106
    fit(task)


def test_split_without_labels_keeps_every_row():
    parts = split(10, seed=0)
    assert sorted(torch.cat([parts.train, parts.validation, parts.test]).tolist()) == list(
        range(10)
    )
