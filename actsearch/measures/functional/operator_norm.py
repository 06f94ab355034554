"""How much a dense layer or a convolution can lengthen a difference of its inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ConvolutionLayer = nn.Conv1d | nn.Conv2d | nn.Conv3d

MOST_ENTRIES = 2**20
"""Of the matrix of a convolution: beyond, its norm is bounded by its frequencies."""


def operator_norm(
    layer: nn.Linear | ConvolutionLayer, shape: Sequence[int], scale: Tensor | None = None
) -> float:
    r"""Return the largest singular value of a layer on inputs of a shape, or a bound above it.

    Of a dense layer, and of a convolution whose matrix is small, it is exact. A larger convolution
    with zero padding is part of a circular one on a torus on which nothing wraps around, whose norm
    is that of its worst frequency,

    .. math:: \max_\omega \Big\| \sum_k K_k e^{-i \omega k} \Big\|_2

    with the kernel's entries :math:`K_k`, matrices from channels to channels; a stride s joins the
    s inputs that it steps over as channels of one. It is computed in double precision.

    Args:
        layer: a convolution must pad with zeros.
        shape: of one input, without the batch.
        scale: factor of each output channel, such as that of a normalisation that follows.

    References:
        The Singular Values of Convolutional Layers, H. Sedghi, V. Gupta and P. Long, 2018,
        https://arxiv.org/abs/1805.10408

    >>> layer = nn.Conv1d(1, 1, 2, bias=False)
    >>> _ = nn.init.ones_(layer.weight)
    >>> round(operator_norm(layer, (1, 3)), 4), round(operator_norm(layer, (1, 3000)), 4)
    (1.7321, 2.0)
    """
    weight = layer.weight.detach().double()
    if scale is not None:
        weight = weight * scale.detach().double().view(-1, *[1] * (weight.ndim - 1))
    if isinstance(layer, nn.Linear):
        return float(torch.linalg.matrix_norm(weight, 2))
    return _of_convolution(layer, weight, shape)


def _of_convolution(layer: ConvolutionLayer, weight: Tensor, shape: Sequence[int]) -> float:
    padding = zero_padding(layer)
    spread = [(k - 1) * d + 1 for k, d in zip(layer.kernel_size, layer.dilation, strict=True)]
    steps = list(zip(shape[1:], padding, spread, layer.stride, strict=True))
    results = [(n + sum(pad) - k) // stride + 1 for n, pad, k, stride in steps]
    inputs = math.prod(shape)
    if inputs * len(weight) * math.prod(results) <= MOST_ENTRIES:
        units = torch.eye(inputs, dtype=weight.dtype, device=weight.device)
        padded = F.pad(units.view(-1, *shape), [n for pad in padding[::-1] for n in pad])
        convolve = (F.conv1d, F.conv2d, F.conv3d)[len(results) - 1]
        matrix = convolve(padded, weight, None, layer.stride, 0, layer.dilation, layer.groups)
        return float(torch.linalg.matrix_norm(matrix.flatten(1), 2))
    kernel = weight.new_zeros(*weight.shape[:2], *spread)
    apart: Any = (..., *(slice(None, None, d) for d in layer.dilation))
    kernel[apart] = weight
    sizes = []
    for axis, (k, stride, count) in enumerate(zip(spread, layer.stride, results, strict=True)):
        taps = -(-k // stride)
        sizes.append(count + taps - 1)
        behind = [0, 0] * (len(spread) - axis - 1) + [0, taps * stride - k]
        parts = F.pad(kernel, behind).unflatten(2 + axis, (taps, stride))
        kernel = parts.movedim(3 + axis, 2).flatten(1, 2)
    found = torch.fft.fftn(kernel, sizes, dim=tuple(range(2, kernel.ndim)))
    matrices = found.movedim((0, 1), (-2, -1)).unflatten(-2, (layer.groups, -1))
    return float(torch.linalg.matrix_norm(matrices, 2).max())


def zero_padding(layer: ConvolutionLayer) -> list[tuple[int, int]]:
    """Return how many zeros a convolution puts before and behind its input along each axis."""
    if layer.padding == "valid":
        return [(0, 0)] * len(layer.kernel_size)
    if layer.padding == "same":
        whole = [d * (k - 1) for k, d in zip(layer.kernel_size, layer.dilation, strict=True)]
        return [(n // 2, n - n // 2) for n in whole]
    return [(int(n), int(n)) for n in layer.padding]
