"""The networks of image and table classification by name, with their usual sizes.

Site names follow one scheme: the part of the network, then ``activation`` (``layer_2.activation``,
``block_1.activation_2``).
"""

from __future__ import annotations

import math
from typing import Literal

from torch import nn

from actsearch.errors import InvalidValueError

from .convolutional import LeNet, ResNet
from .layers import Layout, Normalisation
from .perceptron import MLP
from .transformer import VisionTransformer

Backbone = Literal["mlp", "lenet", "resnet", "transformer"]

USUAL: dict[Backbone, tuple[int, int, Normalisation]] = {  # hidden, depth, normalisation
    "mlp": (256, 4, "none"),
    "lenet": (84, 2, "none"),
    "resnet": (16, 3, "batch"),
    "transformer": (48, 3, "layer"),
}


def build_backbone(
    backbone: Backbone, shape: tuple[int, ...], classes: int, layout: Layout
) -> nn.Module:
    """Build a backbone for inputs of ``shape``.

    Raises:
        InvalidValueError: a layout that does not fit the backbone or the inputs.
    """
    norm, position = layout.normalisation, layout.norm_position
    if norm == "none" and position != "before":
        raise InvalidValueError(
            f"norm_position must be before where nothing is normalised, but got {position!r}."
        )
    if backbone == "mlp":
        return MLP(math.prod(shape), classes, layout)
    if len(shape) != 3:
        raise InvalidValueError(
            f"{backbone} must be given images, but got inputs of shape {shape}. Use mlp or"
            " image_shape."
        )
    if backbone == "resnet":
        return ResNet(shape, classes, layout)
    if backbone == "lenet":
        _check_lenet(shape, layout.depth)
        return LeNet(shape, classes, layout)
    _check_transformer(shape, layout)
    return VisionTransformer(shape, classes, layout)


def _check_lenet(image: tuple[int, ...], depth: int) -> None:
    if min(image[1:]) < 4:
        raise InvalidValueError(
            f"lenet must be given images of at least 4×4, but got {image[1]}×{image[2]}."
        )
    if depth != USUAL["lenet"][1]:
        raise InvalidValueError(
            f"depth must be left alone for lenet, but got {depth}. Use resnet for a depth."
        )


def _check_transformer(image: tuple[int, ...], layout: Layout) -> None:
    norm, position = layout.normalisation, layout.norm_position
    if norm != "layer" or position != "before":
        raise InvalidValueError(
            "a transformer must have layer normalisation before a branch, but got"
            f" {norm} {position} it. Leave both options."
        )
    if layout.hidden % layout.heads:
        raise InvalidValueError(
            f"hidden must be a multiple of heads ({layout.heads}), but got {layout.hidden}."
        )
    if image[1] % layout.patch or image[2] % layout.patch:
        raise InvalidValueError(
            f"patch must divide the image's {image[1]}×{image[2]} pixels, but got {layout.patch}."
        )
