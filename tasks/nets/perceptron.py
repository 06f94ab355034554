"""The multilayer perceptron, every nonlinearity a site."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from torch import nn

from actsearch import Site

from .layers import Layout, he_, norm_act


class MLP(nn.Sequential):
    """Fully connected layers: linear, activation, ``depth`` times, and a linear head.

    Shapes:
        input ``(N, *)`` with ``inputs`` elements a sample, output ``(N, classes)``.
    """

    def __init__(self, inputs: int, classes: int, layout: Layout) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        for number in range(1, layout.depth + 1):
            parts = norm_act(layout.hidden, layout, image=False)
            linear = nn.Linear(inputs, layout.hidden)
            layers[f"layer_{number}"] = nn.Sequential(OrderedDict(linear=linear, **parts))
            inputs = layout.hidden
        super().__init__(layers | {"head": nn.Linear(inputs, classes)})
        he_(self)


def smooth_site(order: int, activation: str = "tanh", **parameters: Any) -> Site:
    """Return a site that requires ``order`` continuous derivatives."""
    return Site(activation, requires=f"smoothness >= {order}" if order else "", **parameters)


def plain_perceptron(
    inputs: int, outputs: int, hidden: int, depth: int, site: Callable[[], Site]
) -> nn.Sequential:
    """Return a perceptron with a site of its own in each hidden layer."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number in range(1, depth + 1):
        parts = OrderedDict(linear=nn.Linear(inputs, hidden), activation=site())
        layers[f"layer_{number}"] = nn.Sequential(parts)
        inputs = hidden
    return nn.Sequential(layers | {"head": nn.Linear(inputs, outputs)})
