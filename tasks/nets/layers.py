"""What the backbones share: normalisation on either side of an activation, and He's initialisation.

Where the search also decides on which side of normalisation the activation stands, a site
``early_activation`` with ``identity`` in it stands before the normalisation.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

from torch import nn

from actsearch import Site

Normalisation = Literal["none", "batch", "layer"]
NormPosition = Literal["before", "after", "either"]
Residual = Literal["post_activation", "pre_activation"]


@dataclass(frozen=True)
class Layout:
    """Size and layout of a backbone: the options of a classification of the same names."""

    hidden: int
    depth: int
    normalisation: Normalisation = "none"
    norm_position: NormPosition = "before"
    residual: Residual = "pre_activation"
    patch: int = 2
    heads: int = 4


def norm_act(
    channels: int, layout: Layout, suffix: str = "", *, image: bool = True
) -> OrderedDict[str, nn.Module]:
    """Return normalisation and activation as named modules in the order asked for.

    Args:
        channels: width of the layer.
        layout: its ``normalisation``, of which ``none`` leaves the activation alone, and its
            ``norm_position``: ``either`` gives sites on both sides, the early one with
            ``identity``.
        suffix: ends each name, such as ``_1``.
        image: whether inputs are ``(N, C, H, W)`` rather than ``(N, C)``.
    """
    activation, norm = {f"activation{suffix}": Site("relu")}, f"norm{suffix}"
    if layout.normalisation == "none":
        return OrderedDict(activation)
    if layout.normalisation == "batch":
        layer: nn.Module = nn.BatchNorm2d(channels) if image else nn.BatchNorm1d(channels)
    else:  # of an image, one mean and deviation a sample, one scale and shift a channel
        layer = nn.GroupNorm(1, channels) if image else nn.LayerNorm(channels)
    if layout.norm_position == "before":
        return OrderedDict({norm: layer, **activation})
    if layout.norm_position == "after":
        return OrderedDict({**activation, norm: layer})
    early = {f"early_activation{suffix}": Site("identity")}
    return OrderedDict({**early, norm: layer, **activation})


def he_(network: nn.Module) -> None:
    """Draw every layer's weights from N(0, 2/fan_in), the linear ``head``'s from N(0, 1/fan_in).

    Set biases to 0.

    References:
        Delving Deep into Rectifiers, K. He, X. Zhang, S. Ren and J. Sun, 2015,
        https://arxiv.org/abs/1502.01852
    """
    for name, layer in network.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            gain = 1.0 if name == "head" else 2.0  # no rectifier halves what leaves the head
            nn.init.normal_(layer.weight, std=math.sqrt(gain / layer.weight[0].numel()))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
