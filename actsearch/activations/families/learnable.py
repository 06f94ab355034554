"""Activations with one or a few parameters that training may learn."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from actsearch.activations.base import Activation, Parameter
from actsearch.activations.properties import INFINITY
from actsearch.activations.registry import register


@register
class LeakyReLU(Activation):
    """Leaky rectified linear unit.

    .. math:: \\varphi(x) = \\max(0, x) + \\alpha \\min(0, x)

    Shapes:
        input ``(*)``, output ``(*)``.

    Args:
        negative_slope: :math:`\\alpha`, the slope left of zero.

    References:
        Rectifier Nonlinearities Improve Neural Network Acoustic Models, A. Maas, A. Hannun and A. Ng, 2013,
        https://ai.stanford.edu/~amaas/papers/relu_hybrid_icml2013_final.pdf
    """

    name = "leaky_relu"
    formula = "max(0, x) + α min(0, x)"
    arguments = {"negative_slope": Parameter(0.01, symbol="α")}

    def function(self, x: Tensor, negative_slope: Any) -> Tensor:
        """Return the formula; the native kernel where the slope is a number."""
        if isinstance(negative_slope, Tensor):
            return torch.where(x >= 0, x, negative_slope * x)
        return F.leaky_relu(x, negative_slope)

    @classmethod
    def declare(cls, negative_slope: float) -> dict[str, Any]:
        """Return the analytic facts."""
        α = negative_slope
        return {
            "smoothness": INFINITY if α == 1 else 0, "derivative_bound": max(1.0, abs(α)),
            "minimum": -INFINITY if α > 0 else 0.0, "maximum": INFINITY, "monotone": α >= 0, "odd": α == 1,
            "even": α == -1, "zero_preserving": True, "convex": α <= 1, "bijective": α > 0,
            "positively_homogeneous": True, "pieces": 1 if α == 1 else 2, "left": α, "right": 1.0,
        }  # fmt: skip


@register
class PReLU(LeakyReLU):
    """Parametric rectified linear unit: a leaky ReLU whose slope is learned.

    .. math:: \\varphi(x) = \\max(0, x) + a \\min(0, x)

    Shapes:
        input ``(*)``, output ``(*)``.

    Args:
        negative_slope: :math:`a`, the slope left of zero at the start.

    References:
        Delving Deep into Rectifiers, K. He, X. Zhang, S. Ren and J. Sun, 2015, https://arxiv.org/abs/1502.01852
    """

    name = "prelu"
    formula = "max(0, x) + a min(0, x)"
    arguments = {"negative_slope": Parameter(0.25, learn=True, symbol="a")}
