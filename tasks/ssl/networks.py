"""Encoder, projector and predictor of self-supervised learning, each with sites of its own."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from actsearch import Site


def encoder(channels: int, width: int) -> nn.Sequential:
    """Return three convolutions with batch normalisation.

    The representation has ``8 × width`` features.

    Shapes:
        input ``(N, C, H, W)``, output ``(N, 8 width)``.
    """
    layers = nn.Sequential()
    sizes = (channels, width, 2 * width, 2 * width)
    for i, (before, after) in enumerate(pairwise(sizes), 1):
        layers.add_module(
            f"conv_{i}", nn.Conv2d(before, after, 3, 1 if i == 1 else 2, 1, bias=False)
        )
        layers.add_module(f"norm_{i}", nn.BatchNorm2d(after))
        layers.add_module(f"activation_{i}", Site("relu"))
    layers.add_module("pool", nn.AdaptiveAvgPool2d(2))
    layers.add_module("flatten", nn.Flatten())
    return layers


def perceptron(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Return a linear map, batch normalisation, a site, and a linear map.

    The output is not normalised: batch normalisation cannot be constant over a batch, and so would
        hide a collapse.

    Shapes:
        input ``(N, inputs)``, output ``(N, outputs)``.
    """
    layers = nn.Sequential()
    layers.add_module("linear_1", nn.Linear(inputs, hidden, bias=False))
    layers.add_module("norm_1", nn.BatchNorm1d(hidden))
    layers.add_module("activation_1", Site("relu"))
    layers.add_module("linear_2", nn.Linear(hidden, outputs))
    return layers
