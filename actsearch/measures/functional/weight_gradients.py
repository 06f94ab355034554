"""Squared gradients of the weights of each unit, sample by sample, in one backward pass."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actsearch.measures.functional.operator_norm import zero_padding

MOST_PAIRS = 2**22
"""Pairs of positions, of all samples, that are compared at once."""


def squared_weight_gradients(
    layer: nn.Linear | nn.Conv1d | nn.Conv2d, x: Tensor, delta: Tensor
) -> Tensor:
    r"""Return the squared gradient of each unit's weights and bias, of each sample, ``(N, units)``.

    .. math::
        \Big\| \frac{\partial L_n}{\partial (w_u, b_u)} \Big\|^2
        = \sum_{t, t'} \delta_{nut} \, \delta_{nut'} \, (x_{nt} \cdot x_{nt'} + 1)

    over the positions t that a unit sees: tokens, pixels, or one.

    Args:
        layer: dense or a convolution that pads with zeros.
        x: what entered it, ``(N, *, D)`` or ``(N, C, *)``.
        delta: gradient of the loss of each sample by what left it, :math:`\delta`.

    >>> layer = nn.Linear(2, 1)
    >>> squared_weight_gradients(layer, torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0]]))
    tensor([[104.]])
    """
    if isinstance(layer, nn.Linear):
        seen, back = (t.reshape(len(x), 1, -1, t.shape[-1]) for t in (x, delta))
    else:
        flat = isinstance(layer, nn.Conv1d)
        padded = F.pad(x, [n for pad in zero_padding(layer)[::-1] for n in pad])
        sizes = [(1, *s) if flat else s for s in (layer.kernel_size, layer.dilation, layer.stride)]
        kernel, dilation, stride = sizes
        columns = F.unfold(padded.unsqueeze(2) if flat else padded, kernel, dilation, 0, stride)
        seen, back = (t.unflatten(1, (layer.groups, -1)).mT for t in (columns, delta.flatten(2)))
    with_bias = 0.0 if layer.bias is None else 1.0
    rows = max(1, MOST_PAIRS // (seen.shape[1] * seen.shape[2] ** 2))
    chunks = zip(seen.split(rows), back.split(rows), strict=True)
    return torch.cat([(((a @ a.mT + with_bias) @ b) * b).sum(2).flatten(1) for a, b in chunks])
