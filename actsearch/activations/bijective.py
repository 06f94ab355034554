"""Activations that are one to one, with an inverse and a log-derivative."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.distributions import Transform, constraints

from actsearch.activations.base import Activation


class Bijective(Activation):
    r"""An elementwise bijection from the real line onto an open interval.

    A member states, beside :meth:`Activation.function`,

    - :meth:`inverse_function`: the inverse on the interval that ``declare`` states;
    - :meth:`log_slope`: :math:`\log|\varphi'(x)|`, written so that it stays finite and accurate
      where φ saturates.

    Laws: ``inverse(φ(x)) = x`` to 1e-5 (float32, relative to the conditioning of φ) and 1e-10
    (float64); ``log_abs_derivative`` equals the logarithm of autograd's derivative; both are
    differentiable in x and in every learned parameter.
    """

    def inverse(self, y: Tensor) -> Tensor:
        """Return the x for which φ(x) = y.

        Shapes:
            input ``(*)``, output ``(*)``.
        """
        return self.inverse_function(y, **self.values_for(y))

    def log_abs_derivative(self, x: Tensor) -> Tensor:
        r"""Return :math:`\log|\varphi'(x)|` for every element of x.

        Shapes:
            input ``(*)``, output ``(*)``.
        """
        return self.log_slope(x, **self.values_for(x))

    def inverse_function(self, y: Tensor, *args: Any, **values: Any) -> Tensor:
        """Evaluate the inverse on ``y`` with parameters as in :meth:`function`."""
        raise NotImplementedError

    def log_slope(self, x: Tensor, *args: Any, **values: Any) -> Tensor:
        """Evaluate the log-derivative on ``x`` with parameters as in :meth:`function`."""
        raise NotImplementedError

    def as_transform(self) -> Transform:
        """Return the activation as a change of variables; it follows the learned parameters."""
        return ActivationTransform(self)


class ActivationTransform(Transform):
    """A :class:`Bijective` activation as a change of variables of event dimension 0.

    Args:
        activation: the bijection; its range is the codomain, its direction the sign.
    """

    bijective = True
    domain = constraints.real

    def __init__(self, activation: Bijective) -> None:
        super().__init__(cache_size=0)
        self.activation = activation
        declared = activation.declare(**activation.values)
        low, high = declared.get("minimum", -float("inf")), declared.get("maximum", float("inf"))
        self.codomain = _between(low, high)
        self._sign = 1 if declared.get("monotone", True) else -1

    @property
    def sign(self) -> int:
        """1 where the activation rises, -1 where it falls."""
        return self._sign

    def _call(self, x: Tensor) -> Tensor:
        result: Tensor = self.activation(x)
        return result

    def _inverse(self, y: Tensor) -> Tensor:
        return self.activation.inverse(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the elementwise log-derivative at x; y is not needed."""
        return self.activation.log_abs_derivative(x)


def _between(low: float, high: float) -> constraints.Constraint:
    """Return the open interval as torch's constraint."""
    match low > -float("inf"), high < float("inf"):
        case True, True:
            return constraints.interval(low, high)
        case True, False:
            return constraints.greater_than(low)
        case False, True:
            return constraints.less_than(high)
        case _:
            return constraints.real
