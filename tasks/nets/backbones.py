"""The networks of image and table classification by name, with their usual sizes.

Site names follow one scheme: the part of the network, then ``activation`` (``layer_2.activation``,
``block_1.activation_2``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import nn

from actsearch.errors import InvalidValueError

from .convolutional import LeNet, ResNet
from .layers import Normalisation, NormPosition, Residual
from .perceptron import MLP
from .transformer import VisionTransformer

Backbone = Literal["mlp", "lenet", "resnet", "transformer"]

USUAL: dict[Backbone, tuple[int, int, Normalisation]] = {  # hidden, depth, normalisation
    "mlp": (256, 4, "none"),
    "lenet": (84, 2, "none"),
    "resnet": (16, 3, "batch"),
    "transformer": (48, 3, "layer"),
}


@dataclass(frozen=True)
class Layout:
    """Size and layout of a backbone; what is ``None`` takes the backbone's usual value.

    Args:
        hidden: width: units of a layer, channels of the first stage, or dimension of a token.
        depth: hidden layers, or blocks.
        normalisation: of every layer.
        norm_position: on which side of the activation it stands.
        residual: order inside a residual block.
        patch: transformer: side of a patch in pixels.
        heads: transformer: attention heads.
    """

    hidden: int | None = None
    depth: int | None = None
    normalisation: Normalisation | None = None
    norm_position: NormPosition = "before"
    residual: Residual = "pre_activation"
    patch: int = 2
    heads: int = 4


def build_backbone(
    backbone: Backbone, shape: tuple[int, ...], classes: int, layout: Layout
) -> nn.Module:
    """Build a backbone for inputs of ``shape``.

    Raises:
        InvalidValueError: a layout that does not fit the backbone or the inputs.
    """
    usual_hidden, usual_depth, usual_norm = USUAL[backbone]
    hidden, depth = layout.hidden or usual_hidden, layout.depth or usual_depth
    norm, position = layout.normalisation or usual_norm, layout.norm_position
    if norm == "none" and position != "before":
        raise InvalidValueError(
            f"norm_position must be before where nothing is normalised, but got {position!r}."
        )
    if backbone == "mlp":
        return MLP(math.prod(shape), classes, hidden, depth, norm, position)
    if len(shape) != 3:
        raise InvalidValueError(
            f"{backbone} must be given images, but got inputs of shape {shape}. Use mlp or"
            " image_shape."
        )
    image = (shape[0], shape[1], shape[2])
    if backbone == "resnet":
        return ResNet(image, classes, hidden, depth, norm, position, layout.residual)
    if backbone == "lenet":
        _check_lenet(image, depth)
        return LeNet(image, classes, hidden, norm, position)
    if norm != "layer" or position != "before":
        raise InvalidValueError(
            "a transformer must have layer normalisation before a branch, but got"
            f" {norm} {position} it. Leave both options."
        )
    _check_transformer(image, hidden, layout)
    return VisionTransformer(
        image, classes, hidden, depth, layout.patch, layout.heads, layout.residual
    )


def _check_lenet(image: tuple[int, int, int], depth: int) -> None:
    if min(image[1:]) < 4:
        raise InvalidValueError(
            f"lenet must be given images of at least 4×4, but got {image[1]}×{image[2]}."
        )
    if depth != USUAL["lenet"][1]:
        raise InvalidValueError(
            f"depth must be left alone for lenet, but got {depth}. Use resnet for a depth."
        )


def _check_transformer(image: tuple[int, int, int], hidden: int, layout: Layout) -> None:
    if hidden % layout.heads:
        raise InvalidValueError(
            f"hidden must be a multiple of heads ({layout.heads}), but got {hidden}."
        )
    if image[1] % layout.patch or image[2] % layout.patch:
        raise InvalidValueError(
            f"patch must divide the image's {image[1]}×{image[2]} pixels, but got {layout.patch}."
        )
