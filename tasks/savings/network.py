"""A perceptron of few inputs, whose units bend all over their range."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from actsearch import Site


def spread_perceptron(inputs: int, hidden: int, depth: int, steepness: float) -> nn.Sequential:
    """Return a perceptron for inputs in [-1, 1], whose first units bend at places all over it."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    width = inputs
    for number in range(1, depth + 1):
        linear = nn.Linear(width, hidden)
        if number == 1:
            with torch.no_grad():
                linear.weight.mul_(steepness)
                linear.bias.copy_(-linear.weight[:, 0] * (2 * torch.rand(hidden) - 1))
        parts = OrderedDict(linear=linear, activation=Site("relu"))
        layers[f"layer_{number}"] = nn.Sequential(parts)
        width = hidden
    return nn.Sequential(layers | {"head": nn.Linear(width, 1)})
