"""Real solid harmonics up to d orbitals."""

from __future__ import annotations

import math

import torch
from torch import Tensor

MOMENTA = (0, 1, 1, 1, 2, 2, 2, 2, 2)
"""The angular momentum l of each."""


def solid_harmonics(vectors: Tensor) -> Tensor:
    r"""Return :math:`r^l Y_{lm}`, orthonormal on the unit sphere, by l and then by m from -l to l.

    Shapes:
        vectors ``(*, 3)``, harmonics ``(*, 9)``.

    References:
        Fast evaluation of spherical harmonics with sphericart, F. Bigi, G. Fraux, N. Browning and
        M. Ceriotti, 2023, https://doi.org/10.1063/5.0156307

    >>> solid_harmonics(torch.tensor([0.0, 0.0, 2.0])).square().mul(4 * math.pi).round().tolist()
    [1.0, 0.0, 12.0, 0.0, 0.0, 0.0, 80.0, 0.0, 0.0]
    """
    x, y, z = vectors.unbind(-1)
    s, p, d = (math.sqrt(number / (4 * math.pi)) for number in (1, 3, 15))
    return torch.stack(
        [
            torch.full_like(x, s),
            *(p * y, p * z, p * x),
            d * x * y,
            d * y * z,
            d / (2 * math.sqrt(3)) * (2 * z * z - x * x - y * y),
            d * x * z,
            d / 2 * (x * x - y * y),
        ],
        -1,
    )
