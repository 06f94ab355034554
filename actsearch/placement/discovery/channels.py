"""How many channels a site has, and which dimension runs over them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from actsearch.placement.discovery.gates import producers
from actsearch.placement.tracing.graph import Operation
from actsearch.placement.tracing.operations import CHANNELS_SECOND


def channels_of(site: Operation) -> tuple[int | None, int]:
    """Return the size and the dimension of a site's channels, from the layer that feeds it."""
    feeders = producers(site)
    if not feeders:
        return _channels_of_shape(site.shape)
    layer, shape = feeders[-1], site.shape
    dim = 1 if layer.name.startswith(CHANNELS_SECOND) else -1
    width = layer.width
    if not width and layer.shape and len(layer.shape) >= 2:
        width = layer.shape[dim]
    if not shape:
        return width, dim
    if len(shape) == 1:
        return shape[0], 0
    if width is not None and shape[dim] != width:
        # The layer's channels were moved: they are where its width is, if at one place alone.
        places = [d for d, size in enumerate(shape) if size == width and d > 0]
        if len(places) == 1:
            last = len(shape) - 1
            dim = -1 if places[0] == last else places[0]
    return shape[dim], dim


def _channels_of_shape(shape: tuple[int, ...] | None) -> tuple[int | None, int]:
    """Return the channels where no layer says which they are: last of tables and sequences."""
    if not shape:
        return None, 1
    return (shape[-1], -1) if len(shape) <= 3 else (shape[1], 1)


def channels_before(path: str, modules: Mapping[str, nn.Module]) -> tuple[int | None, int]:
    """Return the width of the last layer before a path in the module tree, and its dimension."""
    width, dim = None, 1
    for other, module in modules.items():
        if other == path:
            break
        found = getattr(module, "out_channels", None) or getattr(module, "out_features", None)
        if isinstance(found, int):
            width, dim = found, 1 if hasattr(module, "out_channels") else -1
    return width, dim
