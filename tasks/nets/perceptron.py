"""The multilayer perceptron, every nonlinearity a site."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from .layers import Normalisation, NormPosition, he_, norm_act


class MLP(nn.Sequential):
    """Fully connected layers: linear, activation, ``depth`` times, and a linear head.

    Shapes:
        input ``(N, *)`` with ``inputs`` elements a sample, output ``(N, classes)``.
    """

    def __init__(
        self,
        inputs: int,
        classes: int,
        hidden: int,
        depth: int,
        normalisation: Normalisation,
        position: NormPosition,
    ) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        for number in range(1, depth + 1):
            parts = norm_act(hidden, normalisation, position, image=False)
            linear = nn.Linear(inputs, hidden)
            layers[f"layer_{number}"] = nn.Sequential(OrderedDict(linear=linear, **parts))
            inputs = hidden
        super().__init__(layers | {"head": nn.Linear(inputs, classes)})
        he_(self)
