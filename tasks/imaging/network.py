"""A coordinate network of a density: from a place to its attenuation."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from actsearch import Site

from ..nets.perceptron import plain_perceptron
from .rays import ray_offsets


class DensityNetwork(nn.Module):
    r"""The density at every pixel, by random Fourier features.

    .. math:: \mu(x) = \varphi_\mu\big(f(\cos 2\pi B x, \sin 2\pi B x)\big), \qquad
              B_{kl} \sim \mathcal N(0, \sigma^2)

    A perceptron f has a site in each layer. The site ``density`` requires a minimum of at least 0:
    nothing gives light back.

    Args:
        size: pixels of a side of the square from -1 to 1.
        features: rows of B.
        deviation: :math:`\sigma`, in waves over half a side: the larger, the finer the details.
        hidden: units of a layer.
        depth: hidden layers.

    References:
        Fourier features let networks learn high frequency functions in low dimensional domains,
        M. Tancik et al., 2020, https://arxiv.org/abs/2006.10739
    """

    waves: Tensor

    def __init__(self, size: int, features: int, deviation: float, hidden: int, depth: int) -> None:
        super().__init__()
        at = torch.from_numpy(ray_offsets(size)).float()
        y, x = torch.meshgrid(-at, at, indexing="ij")
        directions = deviation * torch.randn(2, features)
        phases = 2 * math.pi * torch.stack([x, y], -1).view(-1, 2) @ directions
        self.register_buffer("waves", torch.cat([phases.cos(), phases.sin()], 1), persistent=False)
        self.perceptron = plain_perceptron(2 * features, 1, hidden, depth, lambda: Site("relu"))
        self.density = Site("softplus", requires="minimum >= 0")

    def forward(self) -> Tensor:
        """Return the density of all pixels ``(size * size,)``, row by row."""
        return cast(Tensor, self.density(self.perceptron(self.waves)))[:, 0]
