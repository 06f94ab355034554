"""The distortion: convolutions over time with a shaper after each, one alone by default."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actsearch import Site


class Distortion(nn.Module):
    r"""Map a signal to a signal: y = g φ(a x + b) + c, or several layers of it with memory.

    Args:
        layers: convolutions with a shaper after each.
        channels: of each.
        memory: samples that each sees, the present one and those before.
        even: whether shapers have biases and may be of any form; else all is odd.

    Shapes:
        input and output ``(N, T)``.
    """

    def __init__(self, layers: int, channels: int, memory: int, even: bool) -> None:
        super().__init__()
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        inputs = 1
        for number in range(1, layers + 1):
            convolution = nn.Conv1d(inputs, channels, memory, bias=even)
            site = Site("tanh", requires="" if even else "odd")
            parts[f"layer_{number}"] = nn.Sequential(
                OrderedDict(convolution=convolution, shaper=site)
            )
            inputs = channels
        self.body = nn.Sequential(parts)
        self.head = nn.Conv1d(inputs, 1, 1, bias=even)
        self.past = layers * (memory - 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return what comes out; before the first sample there was silence."""
        padded = F.pad(x[:, None], (self.past, 0))
        return cast(Tensor, self.head(self.body(padded)))[:, 0]

    @torch.no_grad()
    def draw(self, x: Tensor, spread: Tensor) -> None:
        """Draw weights and biases anew, drives over decades, and bring the output to a spread.

        Args:
            x: inputs ``(N, T)``.
            spread: standard deviation that the output shall have.
        """
        for layer in self.modules():
            if isinstance(layer, nn.Conv1d):
                drive = torch.randn((), dtype=x.dtype).exp() / math.sqrt(layer.weight[0].numel())
                layer.weight.normal_().mul_(drive.to(layer.weight))
                if layer.bias is not None:
                    layer.bias.normal_().mul_(1.5 if layer is not self.head else 0.0)
        found = self(x)
        self.head.weight.mul_(spread / found.std().clamp_min(1e-12))
        if self.head.bias is not None:
            self.head.bias.sub_(self(x).mean())
