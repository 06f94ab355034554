"""The measure of private trainings, which leaves the model as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from actsearch import Placement
from actsearch.errors import InvalidValueError, MeasureError
from actsearch.measures import Fitted, build, check
from actsearch.measures.dp_sgd import PrivacyBudget
from actsearch.task import laws
from actsearch_tasks.classification import Classification

pytestmark = pytest.mark.claim
SMALL = {"hidden": 32, "depth": 1}
SHORT = {"epsilons": [2.0], "seeds": 1, "epochs": 12, "lr": 0.5}
RATIONAL = {"activation": "rational"}


def fitted(placement=None, **options):
    task = laws.build_task(Classification, SMALL | options)
    if placement:
        Placement.uniform(placement, ["network.layer_1.activation"]).apply(task)
    return Fitted(task)


@pytest.mark.parametrize("placement", [None, RATIONAL], ids=["relu", "rational"])
def test_trains_from_the_start_whatever_the_weights_are_and_puts_them_back(placement):
    measured = fitted(placement)
    check(measured, [build("privacy", SHORT)])
    first = build("privacy", SHORT).values(measured)
    assert first["privacy/accuracy/epsilon_2"] > 0.7
    assert 0 < first["privacy/clipped_share/epsilon_2"] < 1
    with torch.no_grad():
        for parameter in measured.module.parameters():
            parameter.add_(1.0)
    before = [p.detach().clone() for p in measured.module.parameters()]
    assert build("privacy", SHORT).values(measured) == first
    for parameter, value in zip(measured.module.parameters(), before, strict=True):
        assert torch.equal(parameter, value)
        assert not vars(parameter)


def test_more_noise_leaves_less_accuracy():
    measured, measure = fitted(), build("privacy", SHORT)
    tight, loose = (measure.trained(measured, PrivacyBudget(e))[0, 0] for e in (0.1, 2.0))
    assert tight < loose - 0.1


def test_the_picture_is_drawn(tmp_path):
    build("privacy", SHORT).pictures(fitted(), tmp_path)
    assert (tmp_path / "privacy.png").read_bytes().startswith(b"\x89PNG")


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return self.factor * x


def scaled():
    measured = fitted()
    measured.module.network.add_module("scale", Scale())
    return measured


@pytest.mark.parametrize(
    ("make", "options", "error", "message"),
    [
        (lambda: fitted(normalisation="batch"), {}, InvalidValueError, "got BatchNorm1d at 'net"),
        (scaled, {}, MeasureError, "reset_parameters, .* but got Scale at 'network.scale'"),
        (lambda: fitted(privacy=PrivacyBudget(2.0)), {}, MeasureError, "it optimises by hand"),
        (fitted, {"epsilons": [0.0]}, InvalidValueError, "epsilon of privacy must be a finite"),
        (fitted, {"delta": 0.5}, InvalidValueError, "delta of privacy must be above 0 and below"),
    ],
)
def test_what_cannot_be_trained_privately_is_told_before_training(make, options, error, message):
    with pytest.raises(error, match=message) as caught:
        check(make(), [build("privacy", options)])
    assert "\n" not in str(caught.value)


def test_a_loss_that_mixes_samples_is_told_before_training():
    def loss(module, batch):
        x, y = batch
        logits = module(x)
        return (logits[y.nonzero().flatten()]).square().sum()  # a shape that the values decide

    measured = Fitted(fitted().module, loss=loss, name="own")
    with pytest.raises(MeasureError, match="a loss of each sample alone, but that of own is none"):
        check(measured, [build("privacy")])


@pytest.mark.parametrize("options", [{"seeds": 0}, {"epsilons": []}, {"lr": 0.0}], ids=str)
def test_wrong_options_get_one_line(options):
    with pytest.raises(InvalidValueError, match="above 0, but got"):
        build("privacy", options)
