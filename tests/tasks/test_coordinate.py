import math

import numpy as np
import pytest
import torch
from PIL import Image

import actsearch
from actsearch.errors import InvalidValueError, UnknownNameError
from actsearch.task import laws
from actsearch_tasks.coordinate import Coordinate, psnr
from actsearch_tasks.data.photographs import load_photograph
from actsearch_tasks.nets.layers import he_

SMALL = {"size": 16, "hidden": 8, "depth": 2, "batch_size": 32}
VARIANTS = [
    {},
    {"image": "flower", "depth": 1},
    {"colour": True, "hidden": 16},
    {"scale": 3.0, "weight_decay": 0.1, "validation_share": 0.1, "test_share": 0.5},
    {"depth": 4},
]


class TestCoordinate(laws.TaskLaws):
    @pytest.fixture
    def task(self):
        return Coordinate

    @pytest.fixture
    def small(self):
        return SMALL

    @pytest.fixture(params=VARIANTS, ids=str)
    def variant(self, request):
        return request.param


def build(seed=0, **options):
    return laws.build_task(Coordinate, SMALL | options, seed)


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_is_better_than_one_grey_for_all(options):
    task = build(**options)
    sites = actsearch.find_sites(task, task.example_input_array)
    depth = task.hparams["depth"]
    assert [site.name for site in sites] == [
        f"network.layer_{i + 1}.activation" for i in range(depth)
    ]
    assert task(task.example_input_array).shape == (4, 3 if options.get("colour") else 1)
    metrics = laws.fit(task, epochs=5)
    constant = task.select("train")[1].mean(0)
    chance = float(psnr((task.select("val")[1] - constant).square().mean()))
    assert metrics[task.monitor] > chance, (metrics, chance)
    assert metrics["val_psnr"] == pytest.approx(-10 * math.log10(metrics["val_loss"]), abs=1e-3)


def test_tasks_of_a_process_do_not_share_the_pixels_that_they_change():
    task = build()
    for tensor in task.tensors:
        tensor[task.splits.test] = torch.nan
    assert load_photograph("china", 16).isfinite().all()


def test_defaults_reach_their_psnr():
    task = laws.build_task(Coordinate, {})
    assert laws.fit(task, epochs=task.trainer_defaults["max_epochs"])["val_psnr"] >= 19.5


def test_a_sine_draws_sharper_than_relu_and_he_s_initialisation_does_not():
    """At the default rate, relu's best of a factor of 3 either way, from either initialisation."""
    found = {}
    for name in ("relu", "sine", "he"):
        task = laws.build_task(Coordinate, {})
        if name == "sine":
            entry = {"activation": "sine", "parameters": {"frequency": 2.0}}
            actsearch.Placement.uniform(entry, actsearch.find_sites(task)).apply(task)
        elif name == "he":
            he_(task.network)
        found[name] = laws.fit(task, epochs=30)["val_psnr"]
    assert found["sine"] > found["relu"] + 1, found
    assert found["he"] < found["relu"], found


def test_a_pixel_s_coordinates_are_its_row_and_column():
    task = build(scale=2.0)
    coordinates, intensities = task.tensors
    assert coordinates[0].tolist() == [-2, -2]
    assert coordinates[15].tolist() == [-2, 2]
    assert coordinates[-1].tolist() == [2, 2]
    assert torch.equal(intensities[15], task.picture[0, 15])
    with torch.no_grad():
        torch.testing.assert_close(task.drawn()[3, 5], task(coordinates[None, 3 * 16 + 5])[0])


def test_reads_a_picture_of_ones_own_cropped_to_its_middle_and_averaged(tmp_path):
    pixels = np.zeros((8, 12, 3), np.uint8)
    pixels[:, 2:6] = (255, 0, 0)  # the left half of the middle 8×8
    pixels[0, 6:10] = 255
    Image.fromarray(pixels).save(tmp_path / "own.png")
    found = load_photograph(str(tmp_path / "own.png"), 4, True)
    assert found.shape == (4, 4, 3)
    assert found[2].tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]]
    torch.testing.assert_close(found[0, 2], torch.full((3,), 0.5), atol=1 / 255, rtol=0)
    grey = load_photograph(str(tmp_path / "own.png"), 4)
    assert grey.shape == (4, 4, 1)
    assert float(grey[3, 0]) == pytest.approx(0.299, abs=1 / 255)
    for name, mode in (
        ("grey.png", "L"),
        ("palette.gif", "P"),
        ("alpha.png", "RGBA"),
        ("photo.jpg", "RGB"),
    ):
        Image.fromarray(pixels).convert(mode).save(tmp_path / name)
        assert load_photograph(str(tmp_path / name), 4, True).shape == (4, 4, 3)
    metrics = laws.fit(build(image=str(tmp_path / "own.png"), size=8))
    assert math.isfinite(metrics["val_psnr"])


def test_a_picture_lies_as_its_camera_held_it(tmp_path):
    pixels = np.zeros((8, 8), np.uint8)
    pixels[0] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    found = load_photograph(str(tmp_path / "turned.png"), 8)
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
        ({"image": "chnia"}, UnknownNameError, "nearest: china. Or a picture file"),
        ({"image": ""}, UnknownNameError, "unknown image ''; known: china, flower"),
        ({"image": "missing.png"}, UnknownNameError, "unknown image 'missing.png'"),
        ({"size": 428}, InvalidValueError, "must be at most the picture's 427 pixels, but got 428"),
    ],
    ids=str,
)
def test_options_that_do_not_fit_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        build(**options)
