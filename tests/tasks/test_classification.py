import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_wine

import actsearch
from actsearch import Placement
from actsearch.errors import (
    InvalidValueError,
    MeasureError,
    RequirementError,
    TaskError,
    UnknownNameError,
)
from actsearch.measures import Fitted, check
from actsearch.measures import build as build_measure
from actsearch.measures.dp_sgd import PrivacyBudget
from actsearch.run import run_search
from actsearch.task import laws
from actsearch_tasks.classification import Classification

RESNET = {"backbone": "resnet", "hidden": 4}
TRANSFORMER = {"backbone": "transformer", "hidden": 16, "depth": 1, "lr": 5e-3}
PRIVATE = {
    "hidden": 32,
    "depth": 1,
    "batch_size": 128,
    "lr": 0.03,
    "privacy": PrivacyBudget(2.0),
}
VARIANTS = [
    {},
    {"backbone": "lenet"},
    RESNET,
    RESNET | {"residual": "post_activation", "norm_position": "either"},
    RESNET | {"normalisation": "none", "residual": "post_activation"},
    TRANSFORMER,
    TRANSFORMER | {"residual": "post_activation"},
    {"data": "wine", "normalisation": "batch", "norm_position": "after"},
    {"data": "breast_cancer", "schedule": "constant"},
    {"logit_site": True},
    {"weights": "spectral", "hidden": 32},
    {"weights": "orthogonal", "hidden": 32, "depth": 1},
    {"data": "iris", "normalisation": "layer", "norm_position": "either"},
]


class TestClassification(laws.TaskLaws):
    @pytest.fixture
    def task(self):
        return Classification

    @pytest.fixture
    def small(self):
        return {}

    @pytest.fixture(params=VARIANTS, ids=str)
    def variant(self, request):
        return request.param


def build(seed=0, **options):
    return laws.build_task(Classification, options, seed)


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_is_better_than_chance_after_two_epochs(options):
    task = build(**options)
    metrics = laws.fit(task, epochs=2)
    assert metrics[task.monitor] > 1.2 / len(task.classes), metrics


def test_defaults_reach_their_accuracy():
    task = build()
    metrics = laws.fit(task, task.trainer_defaults["max_epochs"])
    assert metrics["val_accuracy"] >= 0.96, metrics


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


@pytest.mark.parametrize("backbone", ["mlp", "lenet", "resnet", "transformer"])
def test_a_site_behind_the_logits_takes_what_keeps_their_order_and_sign(backbone):
    plain, task = build(backbone=backbone), build(backbone=backbone, logit_site=True)
    x = task.example_input_array
    torch.testing.assert_close(task(x), plain(x), rtol=0, atol=0)
    found = actsearch.find_sites(task)[-1]
    assert found.name == "network.head.logits"
    clip = {"activation": "clip", "parameters": {"bound": 0.1}}
    actsearch.Placement.uniform(clip, [found.name]).apply(task)
    torch.testing.assert_close(task(x), plain(x).clamp(-0.1, 0.1), rtol=0, atol=0)
    with pytest.raises(RequirementError, match="monotone and odd"):
        actsearch.Placement.uniform("relu", [found.name]).apply(task)


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


@pytest.mark.parametrize(("weights", "off"), [("spectral", 0.1), ("orthogonal", 1e-4)])
def test_constrained_weights_keep_their_norm_through_training(weights, off):
    task = build(weights=weights, hidden=32, depth=2)
    laws.fit(task, epochs=3)
    layers = [m for m in task.network.modules() if isinstance(m, torch.nn.Linear)]
    norms = [float(torch.linalg.matrix_norm(layer.weight.detach(), 2)) for layer in layers]
    assert norms == pytest.approx([1, 1, 4], rel=off)


def novel_rows(**options):
    task = build(**options)
    return task, torch.cat([batch[0] for batch in task.second_dataloader()])


def test_letters_and_photographs_are_on_the_scale_of_the_data():
    pixels = torch.from_numpy(load_digits().images).float()[:, None] / 16
    for novel, count in (("letters", 676), ("photographs", 1000)):
        task, rows = novel_rows(novel=novel)
        mean, deviation = (f(pixels[task.splits.train]) for f in (torch.mean, torch.std))
        intensities = rows * deviation + mean
        assert rows.shape == (count, 1, 8, 8)
        assert -1e-3 < float(intensities.min()) < float(intensities.max()) < 1.001
        assert 0.2 < float(intensities.mean()) < 0.5


def test_letters_have_the_shape_and_the_range_of_own_images(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (40, 12, 10, 3), endpoint=True)
    np.savez(tmp_path / "images.npz", images=images, labels=np.arange(40) % 2)
    for novel in ("letters", "photographs"):
        task, rows = novel_rows(data=str(tmp_path / "images.npz"), novel=novel)
        assert rows.shape[1:] == (3, 12, 10)
        seen = task.select("train")[0]
        assert float(rows.min()) >= float(seen.min()) - 1e-5
        assert float(rows.max()) <= float(seen.max()) + 1e-5


def test_classes_that_are_held_out_are_novel_and_in_no_split():
    task, rows = novel_rows(novel="classes:7,9")
    assert task.classes == ("0", "1", "2", "3", "4", "5", "6", "8")
    x, y = task.tensors
    digits = load_digits()
    kept = torch.from_numpy(~np.isin(digits.target, (7, 9)))
    assert (len(rows), len(x)) == (int((~kept).sum()), int(kept.sum()))
    assert torch.equal(y, torch.from_numpy(np.where(digits.target == 8, 7, digits.target))[kept])
    whole = torch.from_numpy(digits.images).float()[:, None] / 16
    mean, deviation = (f(whole[kept][task.splits.train]) for f in (torch.mean, torch.std))
    torch.testing.assert_close(rows, (whole[~kept] - mean) / deviation, atol=1e-3, rtol=1e-3)


def test_a_file_of_novel_rows_is_standardised_as_the_data(tmp_path):
    wine = load_wine().data
    np.savez(tmp_path / "novel.npz", x=wine[:5])
    task, rows = novel_rows(data="wine", novel=str(tmp_path / "novel.npz"))
    torch.testing.assert_close(rows, task.tensors[0][:5])
    np.savez(tmp_path / "narrow.npz", x=wine[:5, :3])
    with pytest.raises(
        InvalidValueError, match=r"inputs of shape \(13,\), but got x of .*\(5, 3\)"
    ):
        novel_rows(data="wine", novel=str(tmp_path / "narrow.npz"))


def test_letters_beside_a_table_are_no_second_data_and_why_is_told():
    task = build(data="wine")
    refusal = "novelty must have second data, but Wine has none: letters must be told from images"
    with pytest.raises(MeasureError, match=refusal):
        check(Fitted(task, name="Wine"), [build_measure("novelty")])


@pytest.mark.parametrize("name", ["relu", "prelu", "rational", "bspline", "mul(sigmoid(x),x)"])
def test_every_kind_of_activation_trains_privately(name):
    task = build(**PRIVATE)
    if name != "relu":
        Placement.uniform(name, ["network.layer_1.activation"]).apply(task)
    before = [p.detach().clone() for p in task.parameters()]
    logged = laws.fit(task, epochs=12)
    assert logged["val_accuracy"] > 0.75, logged
    assert 1.98 < logged["epsilon"] <= 2.0
    assert 0 < logged["clipped_share"] < 1
    assert all(not torch.equal(p, was) for p, was in zip(task.parameters(), before, strict=True))
    assert task.dp_sgd.optimizer.param_groups[0]["lr"] == pytest.approx(0)  # the cosine's end
    assert float(task.tensors[0].min()) == 0  # nothing was standardised
    assert float(task.tensors[0].max()) == 1


def test_a_private_training_draws_from_the_seed_and_tells_of_its_noise_alone():
    first, again, other = (laws.fit(build(seed, **PRIVATE), 12) for seed in (3, 3, 4))
    assert first == again
    assert first["val_loss"] != other["val_loss"]
    assert first["epsilon"] == other["epsilon"]


def test_a_search_takes_the_options_of_privacy_and_keeps_them(tmp_path):
    given = {**PRIVATE, "privacy": {"epsilon": 0.5}}
    options = {"store": tmp_path, "executor": "inline", "confirm": 0, "learning_rate": "fixed"}
    config = {"trainer.max_epochs": 2, "trainer.accelerator": "cpu"}
    (trial,) = run_search((Classification, given), trials=1, config=config, **options).trials
    assert 0.48 < trial.user_attrs["outcome"]["metrics"]["epsilon"] <= 0.5


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
        ({"novel": "leters"}, UnknownNameError, "unknown novel data 'leters'; nearest: letters"),
        ({"novel": "classes:7,10"}, UnknownNameError, "unknown class '10'"),
        ({"novel": "classes:"}, InvalidValueError, "novel must hold out a class and leave two"),
        ({"data": "digit"}, UnknownNameError, "unknown data 'digit'; nearest: digits"),
        ({"data": "diabetes"}, InvalidValueError, "labelled by class, but diabetes has values to"),
        ({"data": "torchvision:MNIST"}, TaskError, "torchvision:MNIST needs torchvision"),
        ({"data": "wine", "backbone": "resnet"}, InvalidValueError, "resnet must be given images"),
        ({"image_shape": (1, 7, 7)}, InvalidValueError, r"image_shape must fit .* \(1, 8, 8\)"),
        ({"backbone": "lenet", "depth": 3}, InvalidValueError, "depth must be left alone for"),
        ({"norm_position": "after"}, InvalidValueError, "norm_position must be before where"),
        ({"backbone": "lenet", "weights": "spectral"}, InvalidValueError, "plain but for dense"),
        (RESNET | {"privacy": PrivacyBudget(2.0)}, InvalidValueError, "no batch normalisation"),
        ({"privacy": PrivacyBudget(-2.0)}, InvalidValueError, "epsilon of privacy must be"),
        ({"privacy": PrivacyBudget(2.0, delta=0.1)}, InvalidValueError, "below 1/N, 0.000929"),
        (TRANSFORMER | {"patch": 3}, InvalidValueError, "patch must divide the image's 8×8 pixels"),
        (TRANSFORMER | {"heads": 5}, InvalidValueError, r"must be a multiple of heads \(5\)"),
        (TRANSFORMER | {"normalisation": "batch"}, InvalidValueError, "must have layer normal"),
    ],
    ids=str,
)
def test_options_that_do_not_fit_get_one_line(options, error, message, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)  # as where it is not installed
    with pytest.raises(error, match=message) as caught:
        Classification(**options)
    assert "\n" not in str(caught.value)
