"""Networks of a few thousand weights, and layers whose weights are bytes after training."""

from __future__ import annotations

from collections import OrderedDict
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from actsearch import Site

CHANNELS = 8
"""Of the first convolution; the second has twice as many."""


def in_whole_numbers(weight: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return a weight in whole numbers, and the scale that they are to be multiplied by.

    .. math:: q = \operatorname{round}(w / s), \quad s = \max |w| / 127

    Shapes:
        weight and numbers ``(*)``, from -127 to 127; scale ``()``.
    """
    scale = weight.abs().amax().clamp_min(1e-12) / 127
    return (weight / scale).round().to(torch.int8), scale


class ByteLinear(nn.Linear):
    """A dense layer that computes with its weights as bytes in evaluation mode.

    Attributes:
        in_bytes: whether it does so.
    """

    in_bytes = True

    @override
    def forward(self, input: Tensor) -> Tensor:
        if self.training or not self.in_bytes:
            return super().forward(input)
        numbers, scale = in_whole_numbers(self.weight)
        return F.linear(input, numbers.to(input.dtype)) * scale + self.bias


class ByteConv2d(nn.Conv2d):
    """A convolution that computes with its weights as bytes in evaluation mode.

    Attributes:
        in_bytes: whether it does so.
    """

    in_bytes = True

    @override
    def forward(self, input: Tensor) -> Tensor:
        if self.training or not self.in_bytes:
            return super().forward(input)
        numbers, scale = in_whole_numbers(self.weight)
        found: Tensor = self._conv_forward(input, numbers.to(input.dtype), None) * scale
        return found if self.bias is None else found + self.bias[:, None, None]


def dense_network(
    inputs: int, classes: int, hidden: int, depth: int, start: str, linear: type[nn.Linear]
) -> nn.Sequential:
    """Return dense layers with a site each, and a dense head.

    Args:
        inputs: elements of a sample.
        classes: outputs.
        hidden: units of a layer.
        depth: layers before the head.
        start: the activation in each.
        linear: the class of dense layers.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for number in range(1, depth + 1):
        parts = OrderedDict[str, nn.Module](linear=linear(inputs, hidden), activation=Site(start))
        layers[f"layer_{number}"] = nn.Sequential(parts)
        inputs = hidden
    return nn.Sequential(layers | {"head": linear(inputs, classes)})


def convolutional_network(
    shape: tuple[int, ...],
    classes: int,
    hidden: int,
    start: str,
    convolution: type[nn.Conv2d],
    linear: type[nn.Linear],
) -> nn.Sequential:
    """Return two convolutions, each with a site and a halving, one dense layer and the head.

    Args:
        shape: channels, height and width of an image, at least 4×4.
        classes: outputs.
        hidden: units of the dense layer.
        start: the activation at each site.
        convolution: the class of convolutions.
        linear: the class of dense layers.
    """
    channels, layers = shape[0], OrderedDict[str, nn.Module]()
    for number, width in enumerate((CHANNELS, 2 * CHANNELS), 1):
        parts = OrderedDict[str, nn.Module](
            convolution=convolution(channels, width, 3, padding=1),
            activation=Site(start),
            pool=nn.MaxPool2d(2),
        )
        layers[f"layer_{number}"], channels = nn.Sequential(parts), width
    inputs = channels * prod(size // 4 for size in shape[1:])
    dense = dense_network(inputs, classes, hidden, 1, start, linear)
    return nn.Sequential(OrderedDict(**layers, classifier=dense))
