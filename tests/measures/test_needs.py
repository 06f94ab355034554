"""What a model cannot have is refused before it is trained."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from actsearch.errors import InvalidValueError, MeasureError
from actsearch.measures import Fitted, Measure, build, check, missing, possible

REGRESSION = {"val": [(torch.randn(6, 3), torch.randn(6))]}


def pinn():
    return Fitted(
        nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), REGRESSION, name="pinn"
    )


def test_a_measure_that_cannot_be_had_is_refused_with_those_that_can():
    with pytest.raises(MeasureError) as raised:
        check(pinn(), [build("latency"), build("certified_accuracy")])
    assert re.fullmatch(
        r"certified_accuracy must have labels, but pinn has none: its batches have no integers of"
        r" shape \(N,\) beside the input\. Measures that pinn can have: cost, curvature,"
        r" dead_units, effective_rank, .*, uniformity\.",
        str(raised.value),
    )


def test_what_is_possible_is_what_lacks_nothing():
    names = possible(pinn())
    assert {"latency", "parameters", "isotropy", "sparsity"} <= set(names)
    assert not {"knn_accuracy", "alignment", "gradient_flow"} & set(names)
    assert list(missing(pinn(), build("knn_accuracy"))) == ["labelled_training", "labels"]
    check(pinn(), [build(name) for name in names])


def test_a_measure_may_refuse_what_offers_all_that_it_needs():
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    labelled = Fitted(model, {"val": [(torch.randn(6, 3), torch.arange(6) % 2)]})
    assert not missing(labelled, build("certified_accuracy"))
    with pytest.raises(InvalidValueError, match="known Lipschitz constant, but got LayerNorm at"):
        check(labelled, [build("certified_accuracy")])


def test_values_that_are_no_numbers_are_told():
    class Wordy(Measure):
        """Gives words."""

        name, direction = "wordy", "max"

        def __call__(self, fitted):
            return {"a": "many"}

    with pytest.raises(MeasureError, match="wordy must be a number or a mapping of numbers"):
        Wordy().values(pinn())
