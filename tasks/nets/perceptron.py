"""The multilayer perceptron, every nonlinearity a site."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

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
