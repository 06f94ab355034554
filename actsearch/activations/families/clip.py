"""Clips: a line between two bounds, constant beyond. Input and output have shape ``(*)``."""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor
from torch.distributions import constraints
from typing_extensions import override

from actsearch.activations.base import Activation, Parameter, Value
from actsearch.activations.kernels.blockwise import evaluate_rule
from actsearch.activations.kernels.rules import ClipRule
from actsearch.activations.properties.properties import known
from actsearch.activations.registry import register
from actsearch.errors import InvalidValueError


@register
class Clip(Activation):
    r"""Symmetric clip, such as the clip of logits before a softmax.

    .. math:: \varphi(x) = \min(\max(x, -c), c)

    Args:
        bound: :math:`c`, positive.
    """

    name = "clip"
    formula = "min(max(x, -c), c)"
    arguments: ClassVar = {"bound": Parameter(1.0, constraints.positive, symbol="c")}

    def function(self, x: Tensor, bound: Value) -> Tensor:
        """Return the formula; the native kernel where c is a number."""
        if isinstance(bound, Tensor):
            return evaluate_rule(ClipRule, x, bound)
        return F.hardtanh(x, -bound, bound)

    @classmethod
    @override
    def declare(cls, bound: float) -> dict[str, Any]:
        return known(
            "monotone odd zero_preserving",
            smoothness=0,
            slope=1,
            values=(-bound, bound),
            asymptotes=(0, 0),
            pieces=3,
        )


@register
class ClippedReLU(Activation):
    r"""Rectified linear unit with a ceiling.

    .. math:: \varphi(x) = \min(\max(0, x), c)

    Args:
        ceiling: :math:`c`, positive.
    """

    name = "clipped_relu"
    formula = "min(max(0, x), c)"
    arguments: ClassVar = {"ceiling": Parameter(1.0, constraints.positive, symbol="c")}

    def function(self, x: Tensor, ceiling: Value) -> Tensor:
        """Return the formula; the native kernel where c is a number."""
        if isinstance(ceiling, Tensor):
            return F.relu(x).clamp(max=ceiling)
        return F.hardtanh(x, 0.0, ceiling)

    @classmethod
    @override
    def declare(cls, ceiling: float) -> dict[str, Any]:
        return known(
            "monotone zero_preserving",
            smoothness=0,
            slope=1,
            values=(0, ceiling),
            asymptotes=(0, 0),
            pieces=3,
        )


@register
class ReLU6(Activation):
    r"""Rectified linear unit capped at six.

    .. math:: \varphi(x) = \min(\max(0, x), 6)

    References:
        MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications, A.
        Howard et al., 2017, https://arxiv.org/abs/1704.04861
    """

    name = "relu6"
    formula = "min(max(0, x), 6)"
    facts: ClassVar = known(
        "monotone zero_preserving",
        smoothness=0,
        slope=1,
        values=(0, 6),
        asymptotes=(0, 0),
        pieces=3,
    )

    @override
    def function(self, x: Tensor) -> Tensor:
        return F.relu6(x)


@register
class Hardtanh(Activation):
    r"""Piecewise linear stand-in for tanh: a clip between two bounds.

    .. math:: \varphi(x) = \min(\max(x, a), b)

    Args:
        min_val: :math:`a`.
        max_val: :math:`b`, above a.

    Raises:
        InvalidValueError: bounds that are not in order.
    """

    name = "hardtanh"
    formula = "min(max(x, a), b)"
    arguments: ClassVar = {
        "min_val": Parameter(-1.0, symbol="a", learnable=False),
        "max_val": Parameter(1.0, symbol="b", learnable=False),
    }

    def __init__(self, /, **values: Any) -> None:
        super().__init__(**values)
        if self.values["min_val"] >= self.values["max_val"]:
            raise InvalidValueError(
                f"min_val must be below max_val, but got {self.values!r}. Swap them."
            )

    def function(self, x: Tensor, min_val: float, max_val: float) -> Tensor:
        """Return the clipped x."""
        return F.hardtanh(x, min_val, max_val)

    @classmethod
    @override
    def declare(cls, min_val: float, max_val: float) -> dict[str, Any]:
        return known(
            "monotone",
            odd=min_val == -max_val,
            zero_preserving=min_val <= 0 <= max_val,
            smoothness=0,
            slope=1,
            values=(min_val, max_val),
            asymptotes=(0, 0),
            pieces=3,
        )


@register
class Hardsigmoid(Activation):
    r"""Piecewise linear stand-in for the sigmoid.

    .. math:: \varphi(x) = \min(\max(x / 6 + 1/2, 0), 1)

    References:
        Searching for MobileNetV3, A. Howard et al., 2019, https://arxiv.org/abs/1905.02244
    """

    name = "hardsigmoid"
    formula = "min(max(x/6 + 1/2, 0), 1)"
    facts: ClassVar = known(
        "monotone", smoothness=0, slope=1 / 6, values=(0, 1), asymptotes=(0, 0), pieces=3
    )

    @override
    def function(self, x: Tensor) -> Tensor:
        return F.hardsigmoid(x)
