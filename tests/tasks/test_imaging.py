import sys

import numpy as np
import pytest
import torch
from skimage.data import camera
from skimage.transform import iradon, radon

from actsearch import Placement, find_sites
from actsearch.errors import InvalidValueError, RequirementError, TaskError, UnknownNameError
from actsearch.task import laws
from actsearch_tasks.imaging import Tomography
from actsearch_tasks.imaging.rays import back_projection, ray_lengths, ray_offsets

SMALL = {"size": 16, "angles": 6, "features": 8, "hidden": 8}
CLAIMED = {"size": 32, "angles": 20, "hidden": 24}
LINE = "sub(1,x)"


class TestImaging(laws.TaskLaws):
    @pytest.fixture
    def task(self):
        return Tomography

    @pytest.fixture
    def small(self):
        return SMALL

    @pytest.fixture(
        params=[{}, {"loss": "squared", "batch_size": 40}, {"loss": "logarithm"}], ids=str
    )
    def variant(self, request):
        return request.param


def build_with(force=False, options=SMALL, **chosen):
    """Build the task with activations at some sites, by the last part of their names."""
    task = laws.build_task(Tomography, options)
    sites = find_sites(task, task.example_input_array)
    for part, name in chosen.items():
        own = [s for s in sites if s.name.rpartition(".")[2] == part]
        Placement.uniform(name, own).apply(task, task.example_input_array, force=force)
    return task


def test_a_point_lies_where_x_is_to_the_right_and_y_upwards():
    angles = np.array([0.0, 30.0, 90.0, 135.0])
    point = np.zeros((32, 32))
    point[5, 20] = 1.0
    x, y = ray_offsets(32)[20], -ray_offsets(32)[5]
    seen = (ray_lengths(32, angles, 64) @ point.ravel()).reshape(4, 64)
    at = (seen * ray_offsets(64)).sum(1) / seen.sum(1)
    wanted = x * np.cos(np.deg2rad(angles)) + y * np.sin(np.deg2rad(angles))
    assert at == pytest.approx(wanted, abs=0.02)
    # A pixel's area, whichever way it is looked through.
    assert (seen * 2 / 64).sum(1) == pytest.approx([(2 / 32) ** 2] * 4, rel=0.05)


def disc(size):
    x = ray_offsets(size)
    y, x = np.meshgrid(-x, x, indexing="ij")
    return ((x - 0.2) ** 2 + (y - 0.3) ** 2 < 0.2**2) + 0.5 * (x**2 + y**2 < 0.8**2)


def test_paths_and_their_back_projection_are_those_of_scikit_image():
    size, angles = 64, np.arange(0, 180, 3.0)
    image = disc(size)
    paths = (ray_lengths(size, angles, size, 4) @ image.ravel()).reshape(60, size)
    known = radon(image, angles, circle=True).T * 2 / size
    assert np.abs(paths - known).mean() < 0.03 * known.max()
    found = back_projection(paths, angles, size)
    oracle = iradon(known.T, angles, filter_name="hann", circle=True) * size / 2
    inside = np.hypot(*np.meshgrid(ray_offsets(size), ray_offsets(size))) < 0.9
    assert np.corrcoef(found[inside], oracle[inside])[0, 1] > 0.98
    assert found[inside].mean() == pytest.approx(image[inside].mean(), rel=0.02)


@pytest.mark.claim
def test_the_law_of_attenuation_and_a_density_of_at_least_0_are_worth_decibels():
    beer = laws.fit(build_with(options=CLAIMED), 4)
    assert beer["val_least"] >= 0
    assert beer["val_negative"] == 0
    plain = build_with(True, CLAIMED | {"loss": "squared"}, density="identity", detector=LINE)
    assert laws.fit(plain, 4)["val_psnr"] < beer["val_psnr"] - 5
    free = laws.fit(build_with(True, CLAIMED, density="identity"), 4)
    assert free["val_psnr"] < beer["val_psnr"] - 1
    assert free["val_least"] < 0


def test_sites_refuse_what_gives_light_back_or_loses_the_path():
    for site, name, why in (
        ("density", "identity", "minimum is -inf"),
        ("density", "silu", "minimum is -0.278"),
        ("detector", LINE, "minimum is -inf"),
        ("detector", f"relu({LINE})", "bijective is False"),
    ):
        with pytest.raises(RequirementError, match=why):
            build_with(**{site: name})


@pytest.mark.claim
def test_forced_a_detector_that_is_dark_beyond_a_path_of_1_stays_dark():
    task = build_with(True, SMALL | {"loss": "squared"}, detector=f"relu({LINE})")
    with torch.no_grad():
        task.network.perceptron.head.bias.fill_(3.0)
        before = task.image().clone()
    laws.fit(task, 1)
    with torch.no_grad():
        dark = task.paths() > 1
        assert dark.float().mean() > 0.5
        assert float((task.image() - before).abs().max()) < 0.2 * float(before.max())


def test_deviance_is_that_of_poisson_and_goes_on_where_a_law_expects_no_photons():
    task = build_with()
    rays, counted = task.select("val")
    with torch.no_grad():
        expected = task(rays)
        exact = 2 * torch.distributions.Poisson(counted.clamp_min(1e-9)).log_prob(counted)
        exact -= 2 * torch.distributions.Poisson(expected).log_prob(counted)
        torch.testing.assert_close(task.deviance((rays, counted)), exact, atol=1e-2, rtol=1e-3)
    below = build_with(True, SMALL, density="identity", detector=LINE)
    with torch.no_grad():
        below.network.perceptron.head.bias.fill_(3.0)
    loss = below.loss(below.select("train"))
    loss.backward()
    assert loss.isfinite()
    assert below.network.perceptron.head.bias.grad > 0  # down again


def test_an_image_of_ones_own_and_its_counts_read_back(tmp_path):
    np.save(tmp_path / "own.npy", camera()[::8, ::8])
    options = {"phantom": str(tmp_path / "own.npy"), "size": 24, "angles": 20}
    task = build_with(options=options)
    found = laws.fit(task)
    assert found["val_psnr"] > 10
    task.pictures(tmp_path)
    assert np.load(tmp_path / "reconstruction.npy").shape == (24, 24)
    again = build_with(options={"counts": str(tmp_path / "counts.npz"), "size": 24})
    assert np.array_equal(again.scan.counts, task.scan.counts)
    assert again.scan.angles == pytest.approx(4.5 * np.arange(40))
    found = laws.fit(again)
    assert "val_psnr" not in found
    assert 0.5 < found["val_deviance"] < 100
    np.save(tmp_path / "counts.npy", task.scan.counts)
    alone = build_with(options={"counts": str(tmp_path / "counts.npy"), "size": 24})
    assert np.array_equal(alone.scan.angles, again.scan.angles)
    again.pictures(tmp_path)


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    with pytest.raises(TaskError, match=r'pip install "actsearch\[imaging\]", or give an .npy'):
        Tomography()


COUNTS = np.full((6, 10), 50.0)
SCAN = {"counts": COUNTS, "angles": np.arange(6.0), "blank": np.array(100.0)}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"counts": COUNTS}, "must hold arrays counts, angles and blank, but got counts"),
        (SCAN | {"counts": COUNTS[0]}, r"at least 3 angles and 8 detectors, but got shape \(10,\)"),
        (SCAN | {"angles": np.arange(5.0)}, r"got shapes \(6, 10\), \(5,\) and \(\)"),
        (SCAN | {"blank": np.ones(6)}, r"got shapes \(6, 10\), \(6,\) and \(6,\)"),
        (SCAN | {"counts": COUNTS * np.nan}, "counts of .* must be finite numbers"),
        (SCAN | {"counts": COUNTS.astype(str)}, "must be finite numbers, but got <U"),
        (SCAN | {"counts": -COUNTS}, "at least 0 and not 0 everywhere, but got -50"),
        (SCAN | {"blank": np.array(20.0)}, "blank must be .* above the mean .*, 50, .* got 20"),
    ],
)
def test_files_that_are_no_scan_get_one_line(tmp_path, arrays, message):
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(InvalidValueError, match=message) as caught:
        Tomography(counts=str(tmp_path / "own.npz"))
    assert "\n" not in str(caught.value)


def test_phantoms_that_are_none_get_one_line(tmp_path):
    with pytest.raises(UnknownNameError, match=r"nearest: shepp_logan. Or an \.npy file"):
        Tomography(phantom="shep_logan")
    for image, message in (
        (np.ones((20, 30)), r"square image of at least 48 pixels a side, but got shape \(20, 30\)"),
        (-np.eye(64), "attenuation of .* must be at least 0 .* but got -1"),
        (np.array([{}]), r"must be an \.npy file of plain numbers, but reading it failed"),
    ):
        np.save(tmp_path / "own.npy", image)
        with pytest.raises(InvalidValueError, match=message) as caught:
            Tomography(phantom=str(tmp_path / "own.npy"))
        assert "\n" not in str(caught.value)
