"""Convolutional networks, plain and residual, every nonlinearity of the main path a site."""

from __future__ import annotations

from collections import OrderedDict
from typing import cast

from torch import Tensor, nn

from actsearch import Site

from .layers import Normalisation, NormPosition, Residual, he_, norm_act


class LeNet(nn.Sequential):
    """Two convolutions with average pooling, then two fully connected layers.

    In the manner of LeNet-5. Convolutions keep the image's size, so that 8×8 images fit too.

    Shapes:
        input ``(N, C, H, W)`` with ``H, W >= 4``, output ``(N, classes)``.

    References:
        Gradient-Based Learning Applied to Document Recognition, Y. LeCun, L. Bottou, Y. Bengio and
        P. Haffner, 1998, https://doi.org/10.1109/5.726791
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
    ``pre_activation``: :math:`y = x + f(x)`, f = norm, activation, conv, norm, activation, conv.
    With the normalisation ``after``, each norm stands behind its activation; the one that closes a
    post-activation branch stays, so that nothing on the shortcut is normalised.

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
            branch = OrderedDict(
                conv_1=conv_1, **norm_act(outputs, normalisation, position, "_1"), conv_2=conv_2
            )
            if normalisation != "none":
                branch["norm_2"] = norm_act(outputs, normalisation, "before")["norm"]
        for (
            name,
            module,
        ) in branch.items():  # direct children, so that both activations are in one block
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
    """A small residual network of ``depth`` blocks.

    A convolution, the residual blocks, global average pooling, a linear head. The width doubles and
    the image halves after every third of the blocks.

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
