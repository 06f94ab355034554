"""Graph convolutions, every nonlinearity a site."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, cast

from torch import Tensor, nn

from actsearch import Site

Convolution = Literal["gcn", "gcnii", "residual", "pairnorm"]

ALPHA, LAMBDA = 0.1, 0.5
"""Of GCNII: how much of the first layer enters each, and how fast the weights fade with depth."""


class GraphConvolution(nn.Module):
    r"""A convolution and its activation: :math:`\varphi(\hat A H W + b)`.

    Args:
        inputs: channels in.
        outputs: channels out.
        convolution: what is added to it.
        number: of the layer, from 1.

    Shapes:
        input and first layer ``(N, inputs)``, adjacency ``(N, N)``, output ``(N, outputs)``.
    """

    def __init__(self, inputs: int, outputs: int, convolution: Convolution, number: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.activation = Site("relu")
        self.convolution = convolution
        self.beta = math.log(LAMBDA / number + 1)

    def forward(self, h: Tensor, first: Tensor, adjacency: Tensor) -> Tensor:
        """Return what each node holds next."""
        mixed = adjacency @ h
        match self.convolution:
            case "gcnii":
                mixed = (1 - ALPHA) * mixed + ALPHA * first
                z = (1 - self.beta) * mixed + self.beta * self.linear(mixed)
            case "pairnorm":
                z = self.linear(mixed)
                z = z - z.mean(0)
                z = z / (1e-6 + z.square().sum(1).mean()).sqrt()
            case _:
                z = self.linear(mixed)
        after: Tensor = self.activation(z)
        return h + after if self.convolution == "residual" else after


class GraphNetwork(nn.Module):
    r"""Convolutions on a graph, of which the last has no activation.

    The first and the last are plain; in ``gcn`` all are. Those between are:

    - ``residual``: :math:`H + \varphi(\hat A H W + b)`;
    - ``gcnii``: :math:`\varphi(((1-\beta_l) I + \beta_l W) P)` with initial residual
      :math:`P = 0.9 \hat A H + 0.1 H_1` and :math:`\beta_l = \log(0.5 / l + 1)`;
    - ``pairnorm``: centred and scaled to a mean square norm of 1 before φ, as the first is too.

    Args:
        inputs: features of a node.
        hidden: channels of a layer.
        classes: channels of the last.
        depth: convolutions.
        convolution: which.
        dropout: share of what enters a convolution that training sets to 0.

    Shapes:
        input ``(N, inputs)``, adjacency ``(N, N)``, output logits ``(N, classes)``.

    References:
        Semi-Supervised Classification with Graph Convolutional Networks, T. Kipf and M. Welling,
        2016, https://arxiv.org/abs/1609.02907
        Simple and Deep Graph Convolutional Networks, M. Chen, Z. Wei, Z. Huang, B. Ding and Y. Li,
        2020, https://arxiv.org/abs/2007.02133
        PairNorm: Tackling Oversmoothing in GNNs, L. Zhao and L. Akoglu, 2019,
        https://arxiv.org/abs/1909.12223
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        classes: int,
        depth: int,
        convolution: Convolution,
        dropout: float,
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        for number in range(1, depth):
            plain = number == 1 and convolution != "pairnorm"
            kind: Convolution = "gcn" if plain else convolution
            layer = GraphConvolution(inputs if number == 1 else hidden, hidden, kind, number)
            self.add_module(f"layer_{number}", layer)
        self.head = nn.Linear(hidden, classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def hidden(self, x: Tensor, adjacency: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield the name of each layer and what the nodes hold after it."""
        h, first = x, x
        for name, layer in self.named_children():
            if isinstance(layer, GraphConvolution):
                h = layer(self.dropout(h), first, adjacency)
                first = h if first is x else first
                yield name, h

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """Return the logits of all nodes."""
        *_, (_, h) = self.hidden(x, adjacency)
        return cast(Tensor, self.head(adjacency @ self.dropout(h)))
