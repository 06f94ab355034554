"""Novelty on a small module, against its definition; what it cannot have is told before."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from actsearch.errors import InvalidValueError, MeasureError, UnknownNameError
from actsearch.measures import Fitted, build
from actsearch.measures.functional.novelty import detection
from actsearch.placement import Site


def blobs():
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(96) % 3
    x = torch.randn(96, 4, generator=generator) + 3 * torch.eye(4)[y]
    return list(zip(x.split(16), y.split(16), strict=True))


def drawn(*layers):
    """A module with weights of one seed, whatever was drawn before."""
    torch.manual_seed(0)
    model = nn.Sequential(*layers)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return model


def mlp():
    return drawn(nn.Linear(4, 8), Site("tanh"), nn.Linear(8, 8), Site("relu"), nn.Linear(8, 3))


def novel_to(model, sites="all"):
    known, other = blobs(), [(3 * torch.randn(20, 4, generator=torch.Generator().manual_seed(1)),)]
    data = {"train": known[:4], "val": known[4:], "second": other}
    found = build("novelty", {"sites": sites}).values(Fitted(model, data))
    return {name.removeprefix("novelty/"): value for name, value in found.items()}, data


def test_novelty_is_of_the_saturation_at_the_sites_and_of_its_distance_from_training():
    model = mlp().eval()
    found, data = novel_to(model)

    def saturated(part):
        x = torch.cat([batch[0] for batch in data[part]])
        first = model[0](x)
        second = model[2](model[1](first))
        slopes = 1 - first.tanh().square(), (second > 0).float()
        return torch.stack([1 - slope.mean(1) for slope in slopes], 1).detach()

    train, known, other = (saturated(part) for part in ("train", "val", "second"))
    assert found["auroc/saturation"] == pytest.approx(detection(known.mean(1), other.mean(1))[0])
    gaps = [((s - train.mean(0)) / train.std(0, correction=0)).abs() for s in (known, other)]
    typical = detection(*(gap.mean(1) for gap in gaps))
    assert (found["auroc/typical"], found["fpr95/typical"]) == pytest.approx(typical)
    for sites, column in (("first", 0), ("last", 1), (["1"], 0), (["3"], 1)):
        expected = detection(known[:, column], other[:, column])[0]
        assert novel_to(model, sites)[0]["auroc/saturation"] == pytest.approx(expected)


def test_the_fields_own_scores_of_novelty_are_those_of_their_papers():
    model = mlp().eval()
    found, data = novel_to(model)
    x, other = (torch.cat([batch[0] for batch in data[part]]) for part in ("val", "second"))
    for name, score in (
        ("max_softmax", lambda x: -model(x).softmax(1).amax(1)),
        ("energy", lambda x: -torch.logsumexp(model(x), 1)),
    ):
        assert found[f"auroc/{name}"] == pytest.approx(detection(score(x), score(other))[0])


def test_a_site_that_the_catalogue_does_not_know_has_its_largest_slope_as_bound():
    class Twice(nn.Module):
        def forward(self, x):
            return 2 * x.tanh()

    own, same = (drawn(nn.Linear(4, 8), act, nn.Linear(8, 3)) for act in (Site(Twice()), nn.Tanh()))
    same.load_state_dict(own.state_dict())
    assert novel_to(own)[0]["auroc/saturation"] == novel_to(same)[0]["auroc/saturation"]


@pytest.mark.parametrize(
    ("sites", "error", "message"),
    [
        (["5"], UnknownNameError, "unknown site '5'; known: 1, 3"),
        ([], InvalidValueError, r"sites name one or more, but got k=5, sites=\[\]"),
    ],
)
def test_sites_that_are_not_there_are_told_before_any_training(sites, error, message):
    with pytest.raises(error, match=message):
        build("novelty", {"sites": sites}).check(Fitted(mlp(), {"val": blobs()}))


def test_a_site_that_sees_more_rows_than_samples_is_told_before_any_training():
    class Pieces(nn.Sequential):
        def forward(self, x):
            return super().forward(x.view(-1, 2)).view(len(x), -1)

    model = Pieces(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 3))
    with pytest.raises(MeasureError, match="got 32 for 16 at 1"):
        build("novelty").check(Fitted(model, {"val": blobs()}))
