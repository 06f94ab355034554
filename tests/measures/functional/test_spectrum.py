"""The spectrum of embeddings, against the eigenvalues of their covariance."""

import math

import numpy as np
import pytest
import torch

from actsearch.errors import InvalidValueError
from actsearch.measures.functional.spectrum import entropy_rank, spectrum


def embeddings(rows, dims):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(rows, dims, generator=generator, dtype=torch.float64) * torch.arange(
        1, dims + 1
    )


@pytest.mark.parametrize(("rows", "dims"), [(40, 6), (4, 6), (2, 1)])
def test_it_is_the_eigenvalues_of_the_covariance(rows, dims):
    z = embeddings(rows, dims)
    expected = np.linalg.eigvalsh(np.atleast_2d(np.cov(z.numpy().T)))[::-1]
    np.testing.assert_allclose(spectrum(z), expected, rtol=1e-9, atol=1e-12)


def test_neither_a_shift_nor_a_rotation_changes_it():
    z = embeddings(40, 6)
    turn = torch.linalg.qr(embeddings(6, 6))[0]
    torch.testing.assert_close(spectrum(z @ turn + 7), spectrum(z))


def test_the_rank_is_that_of_equal_eigenvalues_and_0_of_none():
    for k in (1, 3, 8):
        values = torch.tensor([2.5] * k + [0.0] * 4)
        assert entropy_rank(values) == pytest.approx(k)
    assert entropy_rank(spectrum(torch.ones(5, 3))) == 0
    p = np.array([0.7, 0.2, 0.1])
    assert entropy_rank(torch.from_numpy(9 * p)) == pytest.approx(math.exp(-(p * np.log(p)).sum()))


def test_one_sample_has_no_covariance():
    with pytest.raises(InvalidValueError, match=r"at least 2 samples \(N, D\), but got \(1, 3\)"):
        spectrum(torch.ones(1, 3))
