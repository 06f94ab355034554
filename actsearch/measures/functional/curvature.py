"""How sharply an activation bends."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from actsearch.activations.properties.breaks import Function, find_breaks
from actsearch.activations.properties.shape import differentiated, shape


def curvature(function: Function) -> float:
    r"""Return the least upper bound of the second derivative's size over the real line.

    .. math:: \sup_x |\varphi''(x)|

    It is infinite at a kink or a jump, and where the second derivative grows for ever. Estimated as
    the catalogue's other facts are.

    Args:
        function: φ, elementwise, of float64.

    >>> curvature(torch.sin), curvature(torch.relu)
    (1.0, inf)
    """
    if find_breaks(function, *differentiated(function, 1)):
        return math.inf

    def slope(x: Tensor) -> Tensor:
        with torch.enable_grad():
            point = x if x.requires_grad else x.detach().requires_grad_()
            y = function(point)
            if not y.requires_grad:
                return torch.zeros_like(point)
            return torch.autograd.grad(y.sum(), point, create_graph=True)[0]

    return float(shape(slope)["derivative_bound"])
