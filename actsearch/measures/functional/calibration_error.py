"""Calibration error: how far confidence is from the share that is right, bin by bin."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from actsearch.errors import InvalidValueError

Binning = Literal["equal_mass", "equal_width"]
Norm = Literal["l1", "l2", "max"]


class ConfidenceBins(NamedTuple):
    """Samples by their confidence; empty bins are left out. Each is ``(B,)``.

    Args:
        share: of all samples that are in the bin.
        confidence: their mean confidence.
        accuracy: the share of them that is right.
    """

    share: Tensor
    confidence: Tensor
    accuracy: Tensor


def calibration_bins(
    confidence: Tensor, right: Tensor, bins: int = 15, binning: Binning = "equal_mass"
) -> ConfidenceBins:
    """Put samples into bins by their confidence; equal confidences are in one bin.

    Shapes:
        confidence and right ``(N,)``.

    Args:
        confidence: probability of the class that is taken, from 0 to 1.
        right: whether that is the class.
        bins: number of bins, at least 1.
        binning: ``equal_mass``, as many samples in each, or ``equal_width``.

    Raises:
        InvalidValueError: no bin, or another binning.
    """
    if bins < 1 or binning not in get_args(Binning):
        raise InvalidValueError(
            f"bins must be at least 1 and binning one of {', '.join(get_args(Binning))}, but got"
            f" {bins=}, {binning=}."
        )
    confidence = confidence.detach().double().contiguous()
    if binning == "equal_mass":
        below = torch.searchsorted(confidence.sort().values, confidence)
        index = below * bins // len(confidence)
    else:
        edges = torch.linspace(0, 1, bins + 1, dtype=torch.double)[1:-1].to(confidence.device)
        index = torch.bucketize(confidence, edges, right=True)
    count = index.bincount(minlength=bins)
    filled = count > 0
    sums = [index.bincount(v.double(), minlength=bins)[filled] for v in (confidence, right)]
    count = count[filled]
    return ConfidenceBins(count / len(confidence), sums[0] / count, sums[1] / count)


def calibration_error(
    confidence: Tensor,
    right: Tensor,
    bins: int = 15,
    binning: Binning = "equal_mass",
    norm: Norm = "l1",
) -> float:
    r"""Return the calibration error over B bins.

    .. math:: \Big(\sum_b \frac{n_b}{N} |a_b - c_b|^p\Big)^{1/p}

    with the accuracy a and the mean confidence c of each bin; ``max`` is the largest difference.
    A calibrated model has an error above 0 too: where all samples are right with chance a, about
    :math:`0.8 \sqrt{a (1 - a) B / N}` in ``l1``.

    Args:
        confidence: as for :func:`calibration_bins`; ``right``, ``bins`` and ``binning`` likewise.
        right: whether each sample is right.
        bins: B.
        binning: of equal mass or width.
        norm: ``l1`` (p = 1, the expected calibration error), ``l2`` or ``max``.

    Raises:
        InvalidValueError: an option out of its range.

    References:
        Obtaining Well Calibrated Probabilities Using Bayesian Binning, M. Naeini, G. Cooper and M.
        Hauskrecht, 2015, https://doi.org/10.1609/aaai.v29i1.9602

        Measuring Calibration in Deep Learning, J. Nixon and others, 2019,
        https://arxiv.org/abs/1904.01685

    >>> sure = torch.full((4,), 0.9, dtype=torch.double)
    >>> round(calibration_error(sure, torch.tensor([True, True, False, False])), 9)
    0.4
    """
    found = calibration_bins(confidence, right, bins, binning)
    gap = (found.accuracy - found.confidence).abs()
    match norm:
        case "l1":
            return float((found.share * gap).sum())
        case "l2":
            return float((found.share * gap.square()).sum().sqrt())
        case "max":
            return float(gap.max())
    raise InvalidValueError(f"norm must be one of {', '.join(get_args(Norm))}, but got {norm!r}.")
