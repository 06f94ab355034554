"""Scores of novelty, and how well one tells it, each against its definition."""

import pytest
import torch
from sklearn.metrics import roc_auc_score

from actsearch.measures.functional.novelty import detection, neighbour_distance, typicality_gap


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("digits", [1, 6])
def test_detection_is_that_of_scikit_learn_and_of_counting(digits):
    known, novel = draws(80).round(decimals=digits), (draws(60, seed=1) + 1).round(decimals=digits)
    area, false = detection(known, novel)
    pairs = novel[:, None] - known
    assert area == pytest.approx(float(((pairs > 0).float() + 0.5 * (pairs == 0).float()).mean()))
    truth = [0] * 80 + [1] * 60
    assert area == pytest.approx(roc_auc_score(truth, torch.cat([known, novel]).numpy()))
    found = [t for t in novel.sort(descending=True).values if (novel >= t).float().mean() >= 0.95]
    assert false == pytest.approx(float((known >= found[0]).float().mean()))


def test_detection_turns_with_the_sign_and_is_a_half_for_equal_scores():
    known, novel = draws(80), draws(60, seed=1) + 1
    assert detection(-known, -novel)[0] == pytest.approx(1 - detection(known, novel)[0])
    assert detection(torch.zeros(5), torch.zeros(7)) == (0.5, 1.0)


def test_neighbour_distance_is_to_the_kth_of_directions():
    x, bank = draws(6, 3), draws(20, 3, seed=1)
    units = [v / v.norm(dim=1, keepdim=True) for v in (x, bank)]
    expected = (units[0][:, None] - units[1]).norm(dim=2).sort(1).values
    for k, column in ((1, 0), (5, 4), (99, 19)):
        torch.testing.assert_close(neighbour_distance(7 * x, bank, k), expected[:, column])


def test_a_typicality_gap_grows_on_both_sides_and_knows_no_scale():
    reference, values = draws(200, 3), draws(10, 3, seed=1)
    gap = typicality_gap(values, reference)
    torch.testing.assert_close(typicality_gap(5 - 3 * values, 5 - 3 * reference), gap)
    middle = reference.mean(0)
    assert float(typicality_gap(middle[None], reference)) == pytest.approx(0, abs=1e-6)
    assert typicality_gap(torch.ones(2, 1), torch.zeros(4, 1)).tolist() == [1.0, 1.0]
