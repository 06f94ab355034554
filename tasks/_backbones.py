"""The networks of image and table classification, every nonlinearity of the main path a site.

Site names follow one scheme: the part of the network, then ``activation`` (``layer_2.activation``,
``block_1.activation_2``). Where the search also decides on which side of normalisation the activation stands, a site
``early_activation`` with ``identity`` in it stands before the normalisation.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actsearch import Site
from actsearch.errors import InvalidValueError
from tasks._options import at_least, one_of

Backbone = Literal["mlp", "lenet", "resnet", "transformer"]
Normalisation = Literal["none", "batch", "layer"]
NormPosition = Literal["before", "after", "either"]
Residual = Literal["post_activation", "pre_activation"]

USUAL: dict[str, tuple[int, int, str]] = {  # hidden, depth, normalisation
    "mlp": (256, 4, "none"),
    "lenet": (84, 2, "none"),
    "resnet": (16, 3, "batch"),
    "transformer": (48, 3, "layer"),
}


class ChannelLayerNorm(nn.GroupNorm):
    """Layer normalisation of an image: one mean and deviation a sample, one scale and shift a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__(1, channels)


def norm_act(
    channels: int,
    normalisation: Normalisation,
    position: NormPosition,
    suffix: str = "",
    default: str = "relu",
    *,
    image: bool = True,
) -> OrderedDict[str, nn.Module]:
    """Return normalisation and activation as named modules in the order asked for.

    Args:
        channels: width of the layer.
        normalisation: ``none`` leaves the activation alone.
        position: where the normalisation stands: ``before`` the activation, ``after`` it, or ``either``: sites on both
            sides, the early one with ``identity``.
        suffix: ends each name, such as ``_1``.
        default: the activation that stands there first.
        image: whether inputs are ``(N, C, H, W)`` rather than ``(N, C)``.
    """
    act, norm, early = f"activation{suffix}", f"norm{suffix}", f"early_activation{suffix}"
    if normalisation == "none":
        return OrderedDict({act: Site(default)})
    if normalisation == "batch":
        layer: nn.Module = nn.BatchNorm2d(channels) if image else nn.BatchNorm1d(channels)
    else:
        layer = ChannelLayerNorm(channels) if image else nn.LayerNorm(channels)
    if position == "before":
        return OrderedDict({norm: layer, act: Site(default)})
    if position == "after":
        return OrderedDict({act: Site(default), norm: layer})
    return OrderedDict({early: Site("identity"), norm: layer, act: Site(default)})


def he_(network: nn.Module) -> None:
    """Draw every layer's weights from N(0, 2/fan_in), the linear ``head``'s from N(0, 1/fan_in); set biases to 0.

    References:
        Delving Deep into Rectifiers, K. He, X. Zhang, S. Ren and J. Sun, 2015, https://arxiv.org/abs/1502.01852
    """
    for name, layer in network.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            gain = 1.0 if name == "head" else 2.0  # no rectifier halves what leaves the head
            nn.init.normal_(layer.weight, std=math.sqrt(gain / layer.weight[0].numel()))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class MLP(nn.Sequential):
    """Fully connected layers: linear, activation, ``depth`` times, and a linear head.

    Shapes:
        input ``(N, *)`` with ``inputs`` elements a sample, output ``(N, classes)``.
    """

    def __init__(
        self, inputs: int, classes: int, hidden: int, depth: int, normalisation: Normalisation, position: NormPosition
    ) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        for number in range(1, depth + 1):
            parts = norm_act(hidden, normalisation, position, image=False)
            linear = nn.Linear(inputs, hidden)
            layers[f"layer_{number}"] = nn.Sequential(OrderedDict(linear=linear, **parts))
            inputs = hidden
        super().__init__(layers | {"head": nn.Linear(inputs, classes)})
        he_(self)


class LeNet(nn.Sequential):
    """Two convolutions with average pooling, then two fully connected layers, in the manner of LeNet-5.

    Convolutions keep the image's size, so that 8×8 images fit too.

    Shapes:
        input ``(N, C, H, W)`` with ``H, W >= 4``, output ``(N, classes)``.

    References:
        Gradient-Based Learning Applied to Document Recognition, Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, 1998,
        https://doi.org/10.1109/5.726791
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        hidden: int,
        normalisation: Normalisation,
        position: NormPosition,
    ) -> None:
        channels, height, width = shape
        features: OrderedDict[str, nn.Module] = OrderedDict()
        for number, size in enumerate((6, 16), start=1):
            features[f"conv_{number}"] = nn.Conv2d(channels, size, kernel_size=5, padding=2)
            features.update(norm_act(size, normalisation, position, f"_{number}"))
            features[f"pool_{number}"] = nn.AvgPool2d(2)
            channels = size
        inputs = channels * (height // 4) * (width // 4)
        classifier: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        for number, size in enumerate((120, hidden), start=3):
            classifier[f"linear_{number}"] = nn.Linear(inputs, size)
            classifier.update(norm_act(size, normalisation, position, f"_{number}", image=False))
            inputs = size
        layers = OrderedDict(features=nn.Sequential(features), classifier=nn.Sequential(classifier))
        super().__init__(OrderedDict(**layers, head=nn.Linear(inputs, classes)))
        he_(self)


class ResidualBlock(nn.Module):
    r"""Two convolutions beside a shortcut.

    ``post_activation``: :math:`y = \varphi(x + f(x))`, f = conv, norm, activation, conv, norm;
    ``pre_activation``: :math:`y = x + f(x)`, f = norm, activation, conv, norm, activation, conv. With the normalisation
    ``after``, each norm stands behind its activation; the one that closes a post-activation branch stays, so that
    nothing on the shortcut is normalised.

    Shapes:
        input ``(N, inputs, H, W)``, output ``(N, outputs, H / stride, W / stride)``.

    References:
        Deep Residual Learning for Image Recognition, K. He, X. Zhang, S. Ren and J. Sun, 2015,
        https://arxiv.org/abs/1512.03385
        Identity Mappings in Deep Residual Networks, K. He, X. Zhang, S. Ren and J. Sun, 2016,
        https://arxiv.org/abs/1603.05027
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int,
        normalisation: Normalisation,
        position: NormPosition,
        residual: Residual,
    ) -> None:
        super().__init__()
        conv_1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=normalisation == "none")
        conv_2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=normalisation == "none")
        self.pre = residual == "pre_activation"
        if self.pre:
            first = norm_act(inputs, normalisation, position, "_1")
            second = norm_act(outputs, normalisation, position, "_2")
            branch = OrderedDict(**first, conv_1=conv_1, **second, conv_2=conv_2)
        else:
            branch = OrderedDict(conv_1=conv_1, **norm_act(outputs, normalisation, position, "_1"), conv_2=conv_2)
            if normalisation != "none":
                branch["norm_2"] = norm_act(outputs, normalisation, "before")["norm"]
        for name, module in branch.items():  # direct children, so that both activations are in one block
            self.add_module(name, module)
        self.branch = tuple(branch)
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        if not self.pre:
            self.activation_2 = Site("relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return the shortcut plus the branch."""
        y = x
        for name in self.branch:
            y = self.get_submodule(name)(y)
        y = self.shortcut(x) + y
        return y if self.pre else cast(Tensor, self.activation_2(y))


class ResNet(nn.Sequential):
    """A small residual network: a convolution, ``depth`` residual blocks, global average pooling, a linear head.

    The width doubles and the image halves after every third of the blocks.

    Shapes:
        input ``(N, C, H, W)``, output ``(N, classes)``.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        hidden: int,
        depth: int,
        normalisation: Normalisation,
        position: NormPosition,
        residual: Residual,
    ) -> None:
        pre = residual == "pre_activation"
        stem: OrderedDict[str, nn.Module] = OrderedDict()
        stem["conv"] = nn.Conv2d(shape[0], hidden, 3, padding=1, bias=normalisation == "none")
        if not pre:
            stem.update(norm_act(hidden, normalisation, position))
        layers: OrderedDict[str, nn.Module] = OrderedDict(stem=nn.Sequential(stem))
        channels = hidden
        for number in range(depth):
            width = hidden * 2 ** (3 * number // depth)
            layers[f"block_{number + 1}"] = ResidualBlock(
                channels, width, 1 if width == channels else 2, normalisation, position, residual
            )
            channels = width
        if pre:  # the sum that leaves the last block is neither normalised nor activated yet
            layers["last"] = nn.Sequential(norm_act(channels, normalisation, position))
        pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        super().__init__(OrderedDict(**layers, pool=pool, head=nn.Linear(channels, classes)))
        he_(self)


class TransformerBlock(nn.Module):
    """Self-attention and a two-layer perceptron, each beside a shortcut; the perceptron's activation is the site.

    ``pre_activation`` normalises what enters a branch, ``post_activation`` the sum that leaves it. The softmax of the
    attention is no site.

    Shapes:
        input and output ``(N, T, width)``.

    References:
        On Layer Normalization in the Transformer Architecture, R. Xiong and others, 2020, https://arxiv.org/abs/2002.04745
    """

    def __init__(self, width: int, heads: int, residual: Residual) -> None:
        super().__init__()
        self.heads = heads
        self.pre = residual == "pre_activation"
        self.norm_1 = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm_2 = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.activation = Site("gelu")
        self.contract = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Mix positions, then channels."""
        if self.pre:
            x = x + self.attend(self.norm_1(x))
            return x + self.perceive(self.norm_2(x))
        x = self.norm_1(x + self.attend(x))
        return cast(Tensor, self.norm_2(x + self.perceive(x)))

    def perceive(self, x: Tensor) -> Tensor:
        """Apply the two-layer perceptron to every token."""
        return cast(Tensor, self.contract(self.activation(self.expand(x))))

    def attend(self, x: Tensor) -> Tensor:
        """Multi-head self-attention."""
        split = self.query_key_value(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed: Tensor = F.scaled_dot_product_attention(split[0], split[1], split[2])
        return cast(Tensor, self.project(mixed.transpose(1, 2).flatten(2)))


class VisionTransformer(nn.Module):
    """A small vision transformer: patches as tokens, learned positions, mean of the tokens, a linear head.

    Shapes:
        input ``(N, C, H, W)`` with H and W multiples of ``patch``, output ``(N, classes)``.

    References:
        An Image is Worth 16x16 Words, A. Dosovitskiy and others, 2020, https://arxiv.org/abs/2010.11929
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        hidden: int,
        depth: int,
        patch: int,
        heads: int,
        residual: Residual,
    ) -> None:
        super().__init__()
        channels, height, width = shape
        tokens = (height // patch) * (width // patch)
        self.embed = nn.Conv2d(channels, hidden, patch, stride=patch)
        self.position = nn.Parameter(0.02 * torch.randn(1, tokens, hidden))
        for number in range(1, depth + 1):
            self.add_module(f"block_{number}", TransformerBlock(hidden, heads, residual))
        self.depth = depth
        self.norm = nn.LayerNorm(hidden) if residual == "pre_activation" else nn.Identity()
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        tokens = self.embed(x).flatten(2).transpose(1, 2) + self.position
        for number in range(1, self.depth + 1):
            tokens = self.get_submodule(f"block_{number}")(tokens)
        return cast(Tensor, self.head(self.norm(tokens).mean(1)))


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
    """Build a backbone for inputs of ``shape``; arguments left ``None`` take the backbone's usual value.

    Raises:
        InvalidValueError: an option that is not one, or that does not fit the backbone or the inputs.
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
        raise InvalidValueError(f"norm_position must be before where nothing is normalised, but got {norm_position!r}.")
    if backbone == "mlp":
        return MLP(math.prod(shape), classes, width, layers, norm, norm_position)
    if len(shape) != 3:
        raise InvalidValueError(
            f"{backbone} must be given images, but got inputs of shape {shape}. Use mlp or image_shape."
        )
    image = (shape[0], shape[1], shape[2])
    if backbone == "lenet":
        if min(image[1:]) < 4:
            raise InvalidValueError(f"lenet must be given images of at least 4×4, but got {image[1]}×{image[2]}.")
        if layers != usual_depth:
            raise InvalidValueError(f"depth must be left alone for lenet, but got {layers}. Use resnet for a depth.")
        return LeNet(image, classes, width, norm, norm_position)
    if backbone == "resnet":
        return ResNet(image, classes, width, layers, norm, norm_position, residual)
    at_least("heads", heads, 1, whole=True)
    at_least("patch", patch, 1, whole=True)
    if norm != "layer" or norm_position != "before":
        raise InvalidValueError(
            f"a transformer must have layer normalisation before a branch, but got {norm}. Leave it."
        )
    if width % heads:
        raise InvalidValueError(f"hidden must be a multiple of heads ({heads}), but got {width}.")
    if image[1] % patch or image[2] % patch:
        raise InvalidValueError(f"patch must divide the image's {image[1]}×{image[2]} pixels, but got {patch}.")
    return VisionTransformer(image, classes, width, layers, patch, heads, residual)
