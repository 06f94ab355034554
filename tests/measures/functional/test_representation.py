"""Measures of a representation, each against what it is known to be."""

import math

import numpy as np
import pytest
import torch

from actsearch.errors import InvalidValueError
from actsearch.measures.functional.alignment import alignment
from actsearch.measures.functional.effective_rank import effective_rank
from actsearch.measures.functional.embedding_deviation import embedding_deviation
from actsearch.measures.functional.isotropy import isotropy
from actsearch.measures.functional.knn_accuracy import knn_accuracy
from actsearch.measures.functional.linear_probe import linear_probe
from actsearch.measures.functional.uniformity import uniformity


def gaussian(count, dims, seed=0):
    return torch.randn(
        count, dims, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def rotation(dims, seed=1):
    return torch.linalg.qr(gaussian(dims, dims, seed))[0]


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_effective_rank_of_equal_singular_values_is_their_number(rank):
    q = torch.linalg.qr(gaussian(50, rank))[0]
    z = 7.0 * q @ rotation(8)[:rank]
    assert effective_rank(z) == pytest.approx(rank, rel=1e-9)


def test_effective_rank_is_the_formula_and_knows_no_scale_or_rotation():
    z = gaussian(40, 6) * torch.arange(1, 7)
    p = np.linalg.svd(z.numpy(), compute_uv=False)
    p = p / p.sum()
    assert effective_rank(z) == pytest.approx(math.exp(-(p * np.log(p)).sum()), rel=1e-12)
    assert effective_rank(1e-3 * z @ rotation(6)) == pytest.approx(effective_rank(z), rel=1e-9)


def test_effective_rank_of_a_collapse_is_1_since_nothing_is_centred():
    z = torch.ones(100, 1, dtype=torch.float64) * gaussian(1, 16)
    assert effective_rank(z) == pytest.approx(1, rel=1e-6)
    assert effective_rank(torch.zeros(5, 3)) == 0


def isoscore(z):
    """IsoScore as its paper defines it, step by step."""
    n = z.shape[1]
    variances = np.linalg.eigvalsh(np.cov(z.T))  # diagonal of the covariance after PCA
    normalised = math.sqrt(n) * variances / np.linalg.norm(variances)
    defect = np.linalg.norm(normalised - 1) / math.sqrt(2 * (n - math.sqrt(n)))
    fraction = (n - defect**2 * (n - math.sqrt(n))) ** 2 / n**2
    return (n * fraction - 1) / (n - 1)


@pytest.mark.parametrize("seed", range(3))
def test_isotropy_is_isoscore(seed):
    z = gaussian(60, 7, seed) * torch.linspace(0.1, 3, 7) + 5
    assert isotropy(z) == pytest.approx(isoscore(z.numpy()), rel=1e-9)
    assert isotropy(3 * z @ rotation(7) - 2) == pytest.approx(isotropy(z), rel=1e-9)


def test_isotropy_is_1_for_a_ball_and_0_for_a_line():
    assert isotropy(gaussian(200_000, 4)) == pytest.approx(1, abs=1e-3)
    assert isotropy(gaussian(100, 1) @ gaussian(1, 5)) == pytest.approx(0, abs=1e-12)
    assert isotropy(torch.ones(4, 3)) == 0
    for bad in (torch.ones(1, 3), torch.ones(3, 1), torch.ones(3)):
        with pytest.raises(InvalidValueError, match="at least 2 samples of at least 2 dimensions"):
            isotropy(bad)


def test_embedding_deviation_is_that_of_the_sphere_and_0_after_collapse():
    assert embedding_deviation(gaussian(50_000, 64)) == pytest.approx(1 / 8, rel=1e-2)
    assert embedding_deviation(torch.ones(9, 64) * torch.rand(9, 1).add(1)) == pytest.approx(
        0, abs=1e-7
    )


def test_alignment_and_uniformity_are_their_pairwise_sums():
    a, b = gaussian(30, 5), gaussian(30, 5, 1)
    unit = [z / z.norm(dim=1, keepdim=True) for z in (a, b)]
    expected = sum(float((x - y) @ (x - y)) for x, y in zip(*unit, strict=True)) / 30
    assert alignment(a, b) == pytest.approx(expected, rel=1e-12)
    assert alignment(a, 3 * a) == pytest.approx(0, abs=1e-12)
    assert alignment(a, -a) == pytest.approx(4, rel=1e-12)
    pairs = [
        float(((x - y) @ (x - y)).mul(-2).exp()) for i, x in enumerate(unit[0]) for y in unit[0][:i]
    ]
    assert uniformity(a) == pytest.approx(math.log(sum(pairs) / len(pairs)), rel=1e-12)
    assert uniformity(torch.ones(4, 3)) == pytest.approx(0, abs=1e-12)
    assert uniformity(gaussian(300, 5)) < uniformity(gaussian(300, 5) + 2)
    with pytest.raises(InvalidValueError, match="at least 2 samples, but got 1"):
        uniformity(torch.ones(1, 3))


def test_knn_votes_as_its_sum_says():
    x, bank = gaussian(25, 4), gaussian(40, 4, 1)
    labels, bank_labels = torch.arange(25) % 3, torch.arange(40) % 3
    right = 0
    for row, label in zip(x, labels, strict=True):
        cosine = torch.nn.functional.cosine_similarity(row[None], bank)
        nearest = cosine.argsort(descending=True)[:7]
        votes = [
            sum(math.exp(float(cosine[j]) / 0.1) for j in nearest if bank_labels[j] == c)
            for c in range(3)
        ]
        right += int(np.argmax(votes)) == int(label)
    assert knn_accuracy(x, labels, bank, bank_labels, k=7) == pytest.approx(right / 25)
    assert knn_accuracy(bank, bank_labels, bank, bank_labels, k=1) == 1
    for k in (0, 41):
        with pytest.raises(InvalidValueError, match=f"k must be from 1 to 40, but got {k}"):
            knn_accuracy(x, labels, bank, bank_labels, k=k)


def test_linear_probe_equals_scikit_learns_ridge():
    from sklearn.linear_model import RidgeClassifier
    from sklearn.preprocessing import StandardScaler

    bank_labels, labels = torch.arange(90) % 3, torch.arange(60) % 3
    centres = gaussian(3, 5, 7)
    bank = gaussian(90, 5, 1) * 3 + centres[bank_labels] * 2
    x = gaussian(60, 5, 2) * 3 + centres[labels] * 2
    scaler = StandardScaler().fit(bank)
    model = RidgeClassifier(alpha=2.0).fit(scaler.transform(bank), bank_labels)
    expected = model.score(scaler.transform(x), labels)
    assert 0.4 < expected < 0.95
    assert linear_probe(x, labels, bank, bank_labels, penalty=2.0) == pytest.approx(expected)


def test_linear_probe_reads_what_is_linear_and_nothing_from_a_constant():
    labels = torch.arange(100) % 4
    x = torch.nn.functional.one_hot(labels, 6).double() @ rotation(6) + 3
    assert linear_probe(x, labels, x, labels) == 1
    assert linear_probe(torch.ones(100, 6), labels, torch.ones(100, 6), labels) == pytest.approx(
        0.25
    )
