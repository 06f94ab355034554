"""Dirichlet energy of what the nodes of a graph hold."""

from __future__ import annotations

import torch
from torch import Tensor


def dirichlet_energy(h: Tensor, adjacency: Tensor) -> Tensor:
    r"""Return how much neighbours differ, in [0, 2]; 0 where all nodes hold the same.

    .. math:: \mathrm{tr}(H^\top (I - \hat A) H) / \lVert H \rVert^2, \qquad
              \hat A = D^{-1/2} (A + I) D^{-1/2}

    A quotient, since the energy itself falls with the size of H. The same means up to the square
    root of a node's degree. It is 0 as well where H is 0.

    Args:
        h: H, what each node holds, ``(N, C)``.
        adjacency: :math:`\hat A`, ``(N, N)``, dense or sparse.

    References:
        A Survey on Oversmoothing in Graph Neural Networks, T. Rusch, M. Bronstein and S. Mishra,
        2023, https://arxiv.org/abs/2303.10993

    >>> pair = torch.full((2, 2), 0.5)
    >>> dirichlet_energy(torch.tensor([[1.0], [-1.0]]), pair)
    tensor(1.)
    """
    h = h.double()
    norm = h.square().sum()
    energy = (h * (h - adjacency.double() @ h)).sum()
    return torch.where(norm > 0, energy / norm, 0.0).float().clamp_min(0)
