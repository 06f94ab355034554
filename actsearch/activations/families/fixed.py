"""Fixed activations: no parameter, one formula."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from actsearch.activations.base import Activation
from actsearch.activations.properties import INFINITY
from actsearch.activations.registry import register


@register
class Identity(Activation):
    """No activation: the input as it is.

    .. math:: \\varphi(x) = x

    Shapes:
        input ``(*)``, output ``(*)``.
    """

    name = "identity"
    formula = "x"

    def function(self, x: Tensor) -> Tensor:
        """Return ``x``."""
        return x

    @classmethod
    def declare(cls, **values: Any) -> dict[str, Any]:
        """Return the analytic facts."""
        return {
            "smoothness": INFINITY, "derivative_bound": 1.0, "minimum": -INFINITY, "maximum": INFINITY, "monotone": True,
            "odd": True, "even": False, "zero_preserving": True, "convex": True, "bijective": True,
            "positively_homogeneous": True, "pieces": 1, "left": 1.0, "right": 1.0,
        }  # fmt: skip


@register
class ReLU(Activation):
    """Rectified linear unit.

    .. math:: \\varphi(x) = \\max(0, x)

    Shapes:
        input ``(*)``, output ``(*)``.

    References:
        Rectified Linear Units Improve Restricted Boltzmann Machines, V. Nair and G. Hinton, 2010,
        https://icml.cc/Conferences/2010/papers/432.pdf
    """

    name = "relu"
    formula = "max(0, x)"

    def function(self, x: Tensor) -> Tensor:
        """Return ``max(0, x)``."""
        return F.relu(x)

    @classmethod
    def declare(cls, **values: Any) -> dict[str, Any]:
        """Return the analytic facts."""
        return {
            "smoothness": 0, "derivative_bound": 1.0, "minimum": 0.0, "maximum": INFINITY, "monotone": True,
            "odd": False, "even": False, "zero_preserving": True, "convex": True, "bijective": False,
            "positively_homogeneous": True, "pieces": 2, "left": 0.0, "right": 1.0,
        }  # fmt: skip


@register
class Tanh(Activation):
    """Hyperbolic tangent.

    .. math:: \\varphi(x) = \\tanh(x)

    Shapes:
        input ``(*)``, output ``(*)``.
    """

    name = "tanh"
    formula = "tanh(x)"

    def function(self, x: Tensor) -> Tensor:
        """Return ``tanh(x)``."""
        return torch.tanh(x)

    @classmethod
    def declare(cls, **values: Any) -> dict[str, Any]:
        """Return the analytic facts."""
        return {
            "smoothness": INFINITY, "derivative_bound": 1.0, "minimum": -1.0, "maximum": 1.0, "monotone": True,
            "odd": True, "even": False, "zero_preserving": True, "convex": False, "bijective": True,
            "positively_homogeneous": False, "pieces": None, "left": 0.0, "right": 0.0,
        }  # fmt: skip
