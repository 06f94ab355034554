"""A convolutional network that takes a periodic field one step further."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal, cast

import torch
from torch import Tensor, nn

from actsearch import Site

UpdateForm = Literal["flux", "residual"]


class UpdateMap(nn.Module):
    r"""The next state of a field, by the fluxes between its points or by its change.

    .. math:: S(u)_i = u_i - (f_{i+1/2} - f_{i-1/2}) \quad \text{or} \quad S(u) = u + f(u)

    Fluxes keep the mean to rounding, whatever the network is.

    Args:
        axes: dimensions in space, 1 or 2.
        form: ``flux`` or ``residual``.
        channels: of each hidden convolution.
        depth: hidden convolutions.
        kernel: points that each sees along an axis, odd.

    Shapes:
        input and output ``(N, *points)``, of any length.
    """

    level: Tensor
    spread: Tensor
    change: Tensor

    def __init__(self, axes: int, form: UpdateForm, channels: int, depth: int, kernel: int) -> None:
        super().__init__()
        convolution = nn.Conv1d if axes == 1 else nn.Conv2d
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        inputs = 1
        for number in range(1, depth + 1):
            layer = convolution(
                inputs, channels, kernel, padding=kernel // 2, padding_mode="circular"
            )
            parts: OrderedDict[str, nn.Module] = OrderedDict(convolution=layer)
            layers[f"layer_{number}"] = nn.Sequential(parts | {"activation": Site("elu")})
            inputs = channels
        self.form, self.axes = form, axes
        layers["head"] = convolution(inputs, axes if form == "flux" else 1, 1)
        self.body = nn.Sequential(layers)
        for name in ("level", "spread", "change"):
            self.register_buffer(name, torch.ones(()))

    def scale(self, u: Tensor) -> None:
        """Take the scales of fields ``(N, times, *points)``: level, spread, change in a step."""
        self.level.copy_(u.mean())
        self.spread.copy_(u.std())
        self.change.copy_(u.diff(dim=1).square().mean().sqrt())

    def forward(self, u: Tensor) -> Tensor:
        """Return the next state."""
        found = self.change * self.body(((u - self.level) / self.spread)[:, None])
        if self.form == "residual":
            return cast(Tensor, u + found[:, 0])
        for axis in range(self.axes):
            flux = found[:, axis]
            u = u - (flux - flux.roll(1, 1 + axis))
        return u
