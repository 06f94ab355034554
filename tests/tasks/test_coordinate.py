import inspect
import logging
import math
import re

import lightning as L
import numpy as np
import pytest
import torch
from PIL import Image

import actsearch
from actsearch.errors import ActsearchError, InvalidValueError, UnknownNameError
from actsearch.run import run_search
from actsearch_tasks._backbone_layers import he_
from actsearch_tasks.coordinate import Coordinate, load, psnr

SMALL = {"size": 16, "hidden": 8, "depth": 2, "batch_size": 32}


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


def fit(task, epochs=2):
    run = trainer(epochs)
    run.fit(task)
    return {name: float(value) for name, value in run.callback_metrics.items()}


def build(seed=0, **options):
    L.seed_everything(seed, verbose=False)
    return Coordinate(**SMALL | options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"image": "flower", "depth": 1},
        {"colour": True, "hidden": 16},
        {"scale": 3.0, "weight_decay": 0.1, "validation_share": 0.1, "test_share": 0.5},
    ],
    ids=str,
)
def test_trains_with_a_bare_trainer_and_logs_what_it_names(options):
    task = build(**options)
    sites = actsearch.find_sites(task, task.example_input_array)
    assert [site.name for site in sites] == [
        f"network.layer_{i + 1}.activation" for i in range(len(sites))
    ]
    assert len(sites) == task.hparams["depth"]
    assert task(task.example_input_array).shape == (4, 3 if options.get("colour") else 1)
    metrics = fit(task, epochs=5)
    splits = task._splits
    constant = task._intensities[splits.train].mean(0)
    chance = float(psnr((task._intensities[splits.validation] - constant).square().mean()))
    assert metrics[task.monitor] > chance, (metrics, chance)
    assert metrics["val_psnr"] == pytest.approx(-10 * math.log10(metrics["val_loss"]), abs=1e-3)
    (result,) = trainer(1).test(task, verbose=False)
    assert result.keys() == {"test_loss", task.test_metric}


def test_defaults_reach_their_psnr():
    L.seed_everything(0, verbose=False)
    task = Coordinate()
    assert fit(task, epochs=task.trainer_defaults["max_epochs"])["val_psnr"] >= 19.5


def test_a_sine_draws_sharper_than_relu_and_he_s_initialisation_does_not():
    """At the default learning rate, which is relu's best of a factor of 3 either way from either initialisation."""
    found = {}
    for name in ("relu", "sine", "he"):
        L.seed_everything(0, verbose=False)
        task = Coordinate()
        if name == "sine":
            entry = {"activation": "sine", "parameters": {"frequency": 2.0}}
            actsearch.Placement.uniform(entry, actsearch.find_sites(task)).apply(task)
        elif name == "he":
            he_(task.network)
        found[name] = fit(task, epochs=30)["val_psnr"]
    assert found["sine"] > found["relu"] + 1, found
    assert found["he"] < found["relu"], found


def test_same_seed_same_numbers_and_another_seed_others():
    first, again, other = (fit(build(seed)) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_every_layer_gets_a_gradient():
    task = build(depth=4)
    task.training_step(next(iter(task.train_dataloader())), 0).backward()
    missed = [name for name, p in task.named_parameters() if p.grad is None or not p.grad.any()]
    assert not missed


def test_splits_are_disjoint_and_depend_on_split_seed_alone():
    a, b, c = build(0), build(1), build(0, split_seed=1)
    parts = [set(part.tolist()) for part in (a._splits.train, a._splits.validation, a._splits.test)]
    assert [len(part) for part in parts] == [128, 64, 64]
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert torch.equal(a._splits.test, b._splits.test)
    assert not torch.equal(a._splits.test, c._splits.test)


def test_changing_the_test_pixels_changes_nothing_of_a_fit():
    plain, altered = build(), build()
    altered._intensities[altered._splits.test] = torch.nan
    altered._coordinates[altered._splits.test] = torch.nan
    assert fit(plain) == fit(altered)
    assert load("china", 16).isfinite().all()  # what tasks share in a process is left as it was


def test_psnr_is_of_the_whole_split_whatever_the_batches():
    task = build()
    x, y = (part[task._splits.validation] for part in (task._coordinates, task._intensities))
    with torch.no_grad():
        error = (task(x) - y).double().square().mean()
    for size in (64, 10):
        task.val_dataloader = lambda size=size: task._batches(task._splits.validation, size)
        (result,) = trainer(1).validate(task, verbose=False)
        assert result["val_loss"] == pytest.approx(float(error), rel=1e-5)
        assert result["val_psnr"] == pytest.approx(10 * math.log10(1 / float(error)), rel=1e-5)
    assert float(psnr(torch.tensor(0.01))) == pytest.approx(20.0)


def test_a_pixel_s_coordinates_are_its_row_and_column():
    task = build(scale=2.0)
    assert task._coordinates[0].tolist() == [-2, -2]
    assert task._coordinates[15].tolist() == [-2, 2]
    assert task._coordinates[-1].tolist() == [2, 2]
    assert torch.equal(task._intensities[15], task._picture[0, 15])
    with torch.no_grad():
        torch.testing.assert_close(task.drawn()[3, 5], task(task._coordinates[None, 3 * 16 + 5])[0])


def test_pictures_are_written(tmp_path):
    for colour in (False, True):
        task = build(colour=colour)
        task.pictures(tmp_path)
        assert (tmp_path / "picture.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert len(list(tmp_path.iterdir())) == 1
        assert task.training  # the mode is left as it was


def test_reads_a_picture_of_ones_own_cropped_to_its_middle_and_averaged(tmp_path):
    pixels = np.zeros((8, 12, 3), np.uint8)
    pixels[:, 2:6] = (255, 0, 0)  # the left half of the middle 8×8
    pixels[0, 6:10] = 255
    Image.fromarray(pixels).save(tmp_path / "own.png")
    found = load(str(tmp_path / "own.png"), 4, True)
    assert found.shape == (4, 4, 3)
    assert found[2].tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]]
    torch.testing.assert_close(found[0, 2], torch.full((3,), 0.5), atol=1 / 255, rtol=0)
    grey = load(str(tmp_path / "own.png"), 4)
    assert grey.shape == (4, 4, 1)
    assert float(grey[3, 0]) == pytest.approx(0.299, abs=1 / 255)
    for name, mode in (
        ("grey.png", "L"),
        ("palette.gif", "P"),
        ("alpha.png", "RGBA"),
        ("photo.jpg", "RGB"),
    ):
        Image.fromarray(pixels).convert(mode).save(tmp_path / name)
        assert load(str(tmp_path / name), 4, True).shape == (4, 4, 3)
    metrics = fit(build(image=str(tmp_path / "own.png"), size=8))
    assert math.isfinite(metrics["val_psnr"])


def test_a_picture_lies_as_its_camera_held_it(tmp_path):
    pixels = np.zeros((8, 8), np.uint8)
    pixels[0] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    found = load(str(tmp_path / "turned.png"), 8)
    assert found[-1].min() == 1
    assert found[0].max() == 0


def test_pictures_that_are_none_get_one_line(tmp_path):
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")
    Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8)).save(tmp_path / "deep.png")
    for name, message in (
        ("text.png", "image must be a picture that Pillow reads"),
        ("cut.png", "image must be a picture that Pillow reads"),
        ("deep.png", "image must have 8 bits a channel, but got"),
    ):
        with pytest.raises(InvalidValueError, match=message) as caught:
            build(image=str(tmp_path / name), size=4)
        assert "\n" not in str(caught.value)
        assert name in str(caught.value)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"image": "chnia"},
            UnknownNameError,
            "unknown image 'chnia'; nearest: china. Or a picture file",
        ),
        ({"image": ""}, UnknownNameError, "unknown image ''; known: china, flower"),
        ({"image": "missing.png"}, UnknownNameError, "unknown image 'missing.png'"),
        ({"size": 3}, InvalidValueError, "size must be a whole number of at least 4, but got 3"),
        (
            {"size": 428},
            InvalidValueError,
            "size must be at most the picture's 427 pixels, but got 428",
        ),
        (
            {"hidden": 0},
            InvalidValueError,
            "hidden must be a whole number of at least 1, but got 0",
        ),
        ({"depth": 0}, InvalidValueError, "depth must be a whole number of at least 1, but got 0"),
        ({"scale": 0.0}, InvalidValueError, "scale must be between 0 and inf, but got 0.0"),
        (
            {"batch_size": 0},
            InvalidValueError,
            "batch_size must be a whole number of at least 1, but got 0",
        ),
        ({"lr": 0.0}, InvalidValueError, "lr must be between 0 and inf, but got 0.0"),
        (
            {"weight_decay": -1.0},
            InvalidValueError,
            "weight_decay must be a finite number of at least 0",
        ),
        ({"validation_share": 1.0}, InvalidValueError, "validation_share must be between 0 and 1"),
        (
            {"test_share": 0.8},
            InvalidValueError,
            "test_share must be between 0 and 0.75, but got 0.8",
        ),
        ({"split_seed": -1}, InvalidValueError, "split_seed must be a whole number of at least 0"),
    ],
    ids=str,
)
def test_bad_options_get_one_line(options, error, message):
    with pytest.raises(error, match=message) as caught:
        build(**options)
    assert isinstance(caught.value, ActsearchError)
    assert "\n" not in str(caught.value)


def test_every_option_is_documented():
    options = list(inspect.signature(Coordinate).parameters)
    arguments = Coordinate.__doc__.split("Args:")[1].split("Raises:")[0]
    assert re.findall(r"^        (\w+): ", arguments, re.MULTILINE) == options


def test_a_smoke_search(tmp_path):
    config = {f"task.{name}": value for name, value in SMALL.items()}
    config |= {"trainer.max_epochs": 1, "trainer.accelerator": "cpu"}
    result = run_search(
        "coordinate", trials=3, store=tmp_path, executor="inline", config=config, confirm=0
    )
    assert [trial.state.name for trial in result.trials] == ["COMPLETE"] * 3, result.trials
    assert len({trial.values[0] for trial in result.trials}) > 1
    assert result.best.sites.keys() == {"network.layer_1.activation", "network.layer_2.activation"}
