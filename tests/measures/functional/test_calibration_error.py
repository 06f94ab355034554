"""Calibration error against torchmetrics, its formula, and what it is known to be."""

import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from actsearch.errors import InvalidValueError
from actsearch.measures.functional.calibration_error import calibration_bins, calibration_error


def classified(count=500, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    z = 2 * torch.randn(count, classes, generator=generator)
    labels = torch.randint(classes, (count,), generator=generator)
    p = z.softmax(1)
    return p, labels, p.amax(1), p.argmax(1) == labels


@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
@pytest.mark.parametrize("bins", [1, 7, 15])
def test_of_equal_width_it_is_that_of_torchmetrics(norm, bins):
    p, labels, confidence, right = classified()
    oracle = multiclass_calibration_error(p, labels, num_classes=4, n_bins=bins, norm=norm)
    found = calibration_error(confidence, right, bins, "equal_width", norm)
    assert found == pytest.approx(float(oracle), rel=1e-5)


def test_of_equal_mass_it_is_the_mean_over_slices_of_the_sorted_confidences():
    *_, confidence, right = classified(60)
    order = np.argsort(confidence.numpy())
    slices = order.reshape(15, 4)
    gaps = right.numpy()[slices].mean(1) - confidence.numpy()[slices].mean(1)
    assert calibration_error(confidence, right) == pytest.approx(np.abs(gaps).mean(), rel=1e-6)
    assert calibration_error(confidence, right, norm="max") == pytest.approx(np.abs(gaps).max())


def test_the_order_of_rows_is_of_no_account_where_confidences_are_equal():
    *_, confidence, right = classified()
    confidence = (confidence * 5).round() / 5
    turned = torch.randperm(len(right), generator=torch.Generator().manual_seed(1))
    assert confidence.unique().numel() <= 5
    found = calibration_error(confidence, right)
    assert calibration_error(confidence[turned], right[turned]) == pytest.approx(found, rel=1e-12)
    assert float(calibration_bins(confidence, right).share.sum()) == pytest.approx(1)


def test_a_calibrated_model_has_the_error_that_the_docstring_says():
    generator = torch.Generator().manual_seed(0)
    chance, count, bins = 0.7, 360, 15
    errors = []
    for _ in range(200):
        confidence = chance + 1e-6 * torch.rand(count, generator=generator, dtype=torch.double)
        right = torch.rand(count, generator=generator, dtype=torch.double) < chance
        errors.append(calibration_error(confidence, right, bins))
    expected = 0.8 * math.sqrt(chance * (1 - chance) * bins / count)
    assert sum(errors) / len(errors) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bins": 0}, "bins must be at least 1"),
        ({"binning": "mass"}, "binning one of equal_mass, equal_width, but got"),
        ({"norm": "l3"}, "norm must be one of l1, l2, max, but got 'l3'"),
    ],
)
def test_what_is_out_of_range_is_told(options, message):
    *_, confidence, right = classified(20)
    with pytest.raises(InvalidValueError, match=message):
        calibration_error(confidence, right, **options)
