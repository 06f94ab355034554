"""Calibration of a classifier, as it is and once recalibrated."""

from __future__ import annotations

from statistics import fmean

import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from actsearch.errors import InvalidValueError
from actsearch.measures.fitted import Fitted
from actsearch.measures.functional.calibration_error import Binning, Norm, calibration_error
from actsearch.measures.functional.recalibration import fit_clip, fit_temperature
from actsearch.measures.measure import Measure


class Calibration(Measure):
    r"""Calibration error and loss: as trained, after a temperature, after a clip of the logits.

    ``error``, ``class_wise_error`` (the mean over all classes of the error of each one's
    probability, whether it is the largest or not) and ``nll`` (mean negative log-likelihood), each
    also with ``_after_temperature`` (:math:`\mathrm{softmax}(z/T)`) and ``_after_clip`` (softmax of
    z held between -c and c);
    ``temperature`` and ``clip`` are T and c, fitted to the loss of validation rows: of the test
    split the figures are of fresh rows, in a search of the same rows.

    A clip makes ties, so the error takes the class from the logits as they are. What a clip as the
    last layer would lose is the difference of ``accuracy`` and ``accuracy_after_clip``.

    Args:
        bins: number of bins of confidence, at least 1.
        binning: ``equal_mass``, as many samples in each, or ``equal_width``.
        norm: ``l1`` (expected calibration error), ``l2`` or ``max``.

    Raises:
        InvalidValueError: fewer than 1 bin.

    References:
        On Calibration of Modern Neural Networks, C. Guo, G. Pleiss, Y. Sun and K. Weinberger, 2017,
        https://arxiv.org/abs/1706.04599

        Measuring Calibration in Deep Learning, J. Nixon and others, 2019,
        https://arxiv.org/abs/1904.01685

        Verified Uncertainty Calibration, A. Kumar, P. Liang and T. Ma, 2019,
        https://arxiv.org/abs/1909.10155
    """

    name = "calibration"
    direction = "min"
    needs = frozenset({"labels", "logits"})

    def __init__(self, bins: int = 15, binning: Binning = "equal_mass", norm: Norm = "l1") -> None:
        if bins < 1:
            raise InvalidValueError(f"bins must be at least 1, but got {bins!r}.")
        self.bins = bins
        self.binning = binning
        self.norm = norm

    @override
    def __call__(self, fitted: Fitted) -> dict[str, float]:
        logits, labels = fitted.gather("logits", "labels")
        validation = fitted.gather("logits", "labels", part="val")
        temperature, clip = fit_temperature(*validation), fit_clip(*validation)
        z = logits.double()
        right = z.argmax(1) == labels
        clipped = z.clamp(-clip, clip)
        found = {
            "temperature": temperature,
            "clip": clip,
            "accuracy": float(right.double().mean()),
            "accuracy_after_clip": float((clipped.argmax(1) == labels).double().mean()),
        }
        ways = {"": z, "_after_temperature": z / temperature, "_after_clip": clipped}
        for way, scores in ways.items():
            probabilities = scores.softmax(1)
            found[f"error{way}"] = self._error(probabilities.amax(1), right)
            classes = [self._error(p, labels == k) for k, p in enumerate(probabilities.T)]
            found[f"class_wise_error{way}"] = fmean(classes)
            found[f"nll{way}"] = float(F.cross_entropy(scores, labels))
        return found

    def _error(self, confidence: Tensor, right: Tensor) -> float:
        return calibration_error(confidence, right, self.bins, self.binning, self.norm)
