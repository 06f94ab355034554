"""An activation with a function of its own for each channel, one by one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from actsearch.activations.properties.breaks import Function


def by_channel(activation: Callable[[Tensor], Tensor]) -> list[Function]:
    """Return the elementwise function of each channel, one where all channels share it.

    Each is as trained, in float64 on the CPU, and takes tensors of any shape.

    Args:
        activation: a module or a function; it stays as it is.
    """
    own: Any = activation
    if isinstance(activation, nn.Module):
        own = copy.deepcopy(activation).double().cpu().eval()
    channels = getattr(own, "channels", None)
    if not channels:
        return [own]
    dim = own.channel_dim
    ones = [1] * (abs(dim) - 1)  # between the batch and the channels, or behind these
    shape = (-1, *ones, channels) if dim > 0 else (-1, channels, *ones)

    def of(channel: int) -> Function:
        def function(x: Tensor) -> Tensor:
            y: Tensor = own(x.reshape(-1, 1).expand(-1, channels).reshape(shape))
            return y.reshape(-1, channels)[:, channel].reshape(x.shape)

        return function

    return [of(channel) for channel in range(channels)]
