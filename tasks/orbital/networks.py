"""Networks of the elements: as many perceptrons beside each other, which share activations."""

from __future__ import annotations

from collections import OrderedDict
from typing import cast

import torch
from torch import Tensor, nn

from ..nets.perceptron import smooth_site


class ElementLinear(nn.Module):
    """An affine map of its own for each element, started as torch starts a linear layer.

    Shapes:
        features ``(N, A, inputs)`` and which element each atom is, ``(N, A, elements)``, to ``(N,
        A, outputs)``; 0 of what is no element.
    """

    def __init__(self, elements: int, inputs: int, outputs: int) -> None:
        super().__init__()
        layers = [nn.Linear(inputs, outputs) for _ in range(elements)]
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))

    def forward(self, features: Tensor, element: Tensor) -> Tensor:
        """Return each atom's own map of its features."""
        mapped = torch.einsum("nai,eoi->naeo", features, self.weight) + self.bias
        return (mapped * element[..., None]).sum(2)


class ElementNetworks(nn.Module):
    """A perceptron for each element; an activation acts on a layer of all of them.

    Shapes:
        as of :class:`ElementLinear`, with one output.
    """

    def __init__(self, elements: int, inputs: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for _ in range(depth):
            parts = OrderedDict(
                linear=ElementLinear(elements, inputs, hidden), activation=smooth_site(2, "silu")
            )
            self.layers.append(nn.ModuleDict(parts))
            inputs = hidden
        self.head = ElementLinear(elements, inputs, 1)

    def forward(self, features: Tensor, element: Tensor) -> Tensor:
        """Return a number of each atom."""
        for layer in self.layers:
            parts = cast(nn.ModuleDict, layer)
            features = parts["activation"](parts["linear"](features, element))
        return cast(Tensor, self.head(features, element))
