"""The networks of image and table classification by name, with their usual sizes and the checks of their options.

Site names follow one scheme: the part of the network, then ``activation`` (``layer_2.activation``,
``block_1.activation_2``).
"""

from __future__ import annotations

import math
from typing import Literal

from torch import nn

from actsearch.errors import InvalidValueError

from ._backbone_convolutional import LeNet, ResNet
from ._backbone_layers import Normalisation, NormPosition, Residual
from ._backbone_mlp import MLP
from ._backbone_transformer import VisionTransformer
from ._options import at_least, one_of

Backbone = Literal["mlp", "lenet", "resnet", "transformer"]

USUAL: dict[str, tuple[int, int, str]] = {  # hidden, depth, normalisation
    "mlp": (256, 4, "none"),
    "lenet": (84, 2, "none"),
    "resnet": (16, 3, "batch"),
    "transformer": (48, 3, "layer"),
}


def build(
    backbone: Backbone,
    shape: tuple[int, ...],
    classes: int,
    hidden: int | None = None,
    depth: int | None = None,
    normalisation: Normalisation | None = None,
    norm_position: NormPosition = "before",
    residual: Residual = "pre_activation",
    patch: int = 2,
    heads: int = 4,
) -> nn.Module:
    """Build a backbone for inputs of ``shape``.

    Arguments left ``None`` take the backbone's usual value.

    Raises:
        InvalidValueError: an option that is not one, or that does not fit the backbone or the
            inputs.
    """
    one_of("backbone", backbone, USUAL)
    one_of("normalisation", normalisation, (None, "none", "batch", "layer"))
    one_of("norm_position", norm_position, ("before", "after", "either"))
    one_of("residual", residual, ("post_activation", "pre_activation"))
    usual_hidden, usual_depth, usual_norm = USUAL[backbone]
    norm: Normalisation = normalisation or usual_norm  # type: ignore[assignment]  # the table holds its names
    at_least("hidden", width := usual_hidden if hidden is None else hidden, 1, whole=True)
    at_least("depth", layers := usual_depth if depth is None else depth, 1, whole=True)
    if norm == "none" and norm_position != "before":
        raise InvalidValueError(
            f"norm_position must be before where nothing is normalised, but got {norm_position!r}."
        )
    if backbone == "mlp":
        return MLP(math.prod(shape), classes, width, layers, norm, norm_position)
    if len(shape) != 3:
        raise InvalidValueError(
            f"{backbone} must be given images, but got inputs of shape {shape}. Use mlp or"
            " image_shape."
        )
    image = (shape[0], shape[1], shape[2])
    if backbone == "lenet":
        if min(image[1:]) < 4:
            raise InvalidValueError(
                f"lenet must be given images of at least 4×4, but got {image[1]}×{image[2]}."
            )
        if layers != usual_depth:
            raise InvalidValueError(
                f"depth must be left alone for lenet, but got {layers}. Use resnet for a depth."
            )
        return LeNet(image, classes, width, norm, norm_position)
    if backbone == "resnet":
        return ResNet(image, classes, width, layers, norm, norm_position, residual)
    at_least("heads", heads, 1, whole=True)
    at_least("patch", patch, 1, whole=True)
    if norm != "layer" or norm_position != "before":
        raise InvalidValueError(
            f"a transformer must have layer normalisation before a branch, but got {norm}."
            " Leave it."
        )
    if width % heads:
        raise InvalidValueError(f"hidden must be a multiple of heads ({heads}), but got {width}.")
    if image[1] % patch or image[2] % patch:
        raise InvalidValueError(
            f"patch must divide the image's {image[1]}×{image[2]} pixels, but got {patch}."
        )
    return VisionTransformer(image, classes, width, layers, patch, heads, residual)
