"""Convolutional networks, plain and residual, every nonlinearity of the main path a site."""

from __future__ import annotations

from collections import OrderedDict
from typing import cast

from torch import Tensor, nn

from actsearch import Site

from .layers import Layout, he_, norm_act


class LeNet(nn.Sequential):
    """Two convolutions with average pooling, then two fully connected layers.

    In the manner of LeNet-5. Convolutions keep the image's size, so that 8×8 images fit too.

    Shapes:
        input ``(N, C, H, W)`` with ``H, W >= 4``, output ``(N, classes)``.

    References:
        Gradient-Based Learning Applied to Document Recognition, Y. LeCun, L. Bottou, Y. Bengio and
        P. Haffner, 1998, https://doi.org/10.1109/5.726791
    """

    def __init__(self, shape: tuple[int, ...], classes: int, layout: Layout) -> None:
        channels, height, width = shape
        features: OrderedDict[str, nn.Module] = OrderedDict()
        for number, size in enumerate((6, 16), start=1):
            features[f"conv_{number}"] = nn.Conv2d(channels, size, kernel_size=5, padding=2)
            features.update(norm_act(size, layout, f"_{number}"))
            features[f"pool_{number}"] = nn.AvgPool2d(2)
            channels = size
        inputs = channels * (height // 4) * (width // 4)
        classifier: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        for number, size in enumerate((120, layout.hidden), start=3):
            classifier[f"linear_{number}"] = nn.Linear(inputs, size)
            classifier.update(norm_act(size, layout, f"_{number}", image=False))
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

    def __init__(self, inputs: int, outputs: int, stride: int, layout: Layout) -> None:
        super().__init__()
        bias = layout.normalisation == "none"
        conv_1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=bias)
        conv_2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=bias)
        self.pre = layout.residual == "pre_activation"
        first = norm_act(inputs if self.pre else outputs, layout, "_1")
        second = norm_act(outputs, layout, "_2")
        if self.pre:
            branch = OrderedDict(**first, conv_1=conv_1, **second, conv_2=conv_2)
        else:
            branch = OrderedDict(conv_1=conv_1, **first, conv_2=conv_2)
            if "norm_2" in second:
                branch["norm_2"] = second["norm_2"]
        # Direct children, so that both activations are in one block.
        for name, module in branch.items():
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

    def __init__(self, shape: tuple[int, ...], classes: int, layout: Layout) -> None:
        pre, channels = layout.residual == "pre_activation", layout.hidden
        stem: OrderedDict[str, nn.Module] = OrderedDict()
        bias = layout.normalisation == "none"
        stem["conv"] = nn.Conv2d(shape[0], channels, 3, padding=1, bias=bias)
        if not pre:
            stem.update(norm_act(channels, layout))
        layers: OrderedDict[str, nn.Module] = OrderedDict(stem=nn.Sequential(stem))
        for number in range(layout.depth):
            width = layout.hidden * 2 ** (3 * number // layout.depth)
            stride = 1 if width == channels else 2
            layers[f"block_{number + 1}"] = ResidualBlock(channels, width, stride, layout)
            channels = width
        if pre:  # the sum that leaves the last block is neither normalised nor activated yet
            layers["last"] = nn.Sequential(norm_act(channels, layout))
        pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        super().__init__(OrderedDict(**layers, pool=pool, head=nn.Linear(channels, classes)))
        he_(self)
