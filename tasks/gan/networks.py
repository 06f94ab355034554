"""A small DCGAN: two convolutions up, two convolutions down."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from typing_extensions import override

from actsearch import Site
from actsearch.errors import InvalidValueError

Shape = tuple[int, int, int]
DiscriminatorNorm = Literal["spectral", "none"]
SLOPE = 0.2


class Generator(nn.Sequential):
    r"""Images in (0, 1) from latents.

    A linear layer and two transposed convolutions of stride 2; batch normalisation and a site
    behind the first two of these, :math:`(1 + \tanh x) / 2` behind the last.

    Shapes:
        input ``(N, latent)``, output ``(N, C, H, W)``.

    Args:
        latent: size of a latent.
        width: channels of the last hidden layer; the one before has twice as many.
        shape: channels, height and width of an image.

    Raises:
        InvalidValueError: a height or width that is no multiple of 4.
    """

    def __init__(self, latent: int, width: int, shape: Shape) -> None:
        channels, height, width_of_image = _divisible(shape)
        start = 2 * width, height // 4, width_of_image // 4
        super().__init__(
            OrderedDict(
                linear=nn.Linear(latent, 2 * width * start[1] * start[2], bias=False),
                shape=nn.Unflatten(1, start),
                norm_1=nn.BatchNorm2d(2 * width),
                activation_1=_site(),
                conv_1=nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False),
                norm_2=nn.BatchNorm2d(width),
                activation_2=_site(),
                conv_2=nn.ConvTranspose2d(width, channels, 4, 2, 1),
            )
        )
        _normal_(self)

    @override
    def forward(self, latents: Tensor) -> Tensor:
        x: Tensor = super().forward(latents)  # type: ignore[no-untyped-call]
        return (2 * x).sigmoid()


class Discriminator(nn.Sequential):
    """How real images are, as logits.

    Two convolutions of stride 2 with a site behind each, and a linear layer.

    Shapes:
        input ``(N, C, H, W)`` in [0, 1], output ``(N, 1)``.

    Args:
        shape: channels, height and width of an image.
        width: channels of the first layer; the second has twice as many.
        norm: ``spectral`` holds the largest singular value of every layer at 1.

    Raises:
        InvalidValueError: a height or width that is no multiple of 4.

    References:
        Spectral Normalization for Generative Adversarial Networks, T. Miyato, T. Kataoka, M. Koyama
        and Y. Yoshida, 2018, https://arxiv.org/abs/1802.05957
    """

    def __init__(self, shape: Shape, width: int, norm: DiscriminatorNorm) -> None:
        channels, height, width_of_image = _divisible(shape)
        size = 2 * width * (height // 4) * (width_of_image // 4)
        super().__init__(
            OrderedDict(
                conv_1=nn.Conv2d(channels, width, 4, 2, 1),
                activation_1=_site(),
                conv_2=nn.Conv2d(width, 2 * width, 4, 2, 1),
                activation_2=_site(),
                flatten=nn.Flatten(),
                linear=nn.Linear(size, 1),
            )
        )
        _normal_(self)
        normed: Callable[[nn.Module], nn.Module] = spectral_norm
        for name in ("conv_1", "conv_2", "linear") if norm == "spectral" else ():
            normed(self.get_submodule(name))

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = super().forward(2 * images - 1)  # type: ignore[no-untyped-call]
        return logits


def _site() -> Site:
    return Site("leaky_relu", negative_slope=SLOPE)


def _divisible(shape: Shape) -> Shape:
    if shape[1] % 4 or shape[2] % 4:
        raise InvalidValueError(
            f"images must have a height and a width that are multiples of 4, but got {shape[1]}×"
            f"{shape[2]}. Crop or pad them."
        )
    return shape


def _normal_(network: nn.Module) -> None:
    """Draw weights from N(0, 0.02²), as DCGAN does; set biases to 0."""
    for layer in network.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
