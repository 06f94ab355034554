"""The closed vocabulary of expressions: each word, and the torch function that it stands for."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

from actsearch.activations.kernels.blockwise import evaluate_rule
from actsearch.activations.kernels.rules import MishRule

Operand = Tensor | float

LEARNABLE = ("a", "b", "c")
ALIASES = MappingProxyType({"swish": "silu"})


def _identity(x: Tensor) -> Tensor:
    return x


def _cube(x: Tensor) -> Tensor:
    return x * x * x


def _sqrtabs(x: Tensor) -> Tensor:
    return x.abs().sqrt()


def _gaussian(x: Tensor) -> Tensor:
    return torch.exp(-x * x)


def _log1pabs(x: Tensor) -> Tensor:
    return torch.log1p(x.abs())


def _sinc(x: Tensor) -> Tensor:
    return torch.sinc(x / math.pi)


def _elish(x: Tensor) -> Tensor:
    return torch.where(x < 0, torch.expm1(x.clamp(max=0.0)), x) * torch.sigmoid(x)


def _mish(x: Tensor) -> Tensor:
    # The second derivative of torch's own is NaN where eˣ overflows.
    return evaluate_rule(MishRule, x, 1.0)


def _maximum(x: Operand, y: Operand) -> Tensor:
    # A tensor beside a number is a clamp: one kernel, and no tensor to build for the number.
    if isinstance(x, Tensor) and isinstance(y, Tensor):
        return torch.maximum(x, y)
    return x.clamp(min=y) if isinstance(x, Tensor) else y.clamp(min=x)  # type: ignore[union-attr]  # one is a tensor


def _minimum(x: Operand, y: Operand) -> Tensor:
    if isinstance(x, Tensor) and isinstance(y, Tensor):
        return torch.minimum(x, y)
    return x.clamp(max=y) if isinstance(x, Tensor) else y.clamp(max=x)  # type: ignore[union-attr]  # one is a tensor


def _add(x: Operand, y: Operand) -> Operand:
    return x + y


def _sub(x: Operand, y: Operand) -> Operand:
    return x - y


def _mul(x: Operand, y: Operand) -> Operand:
    return x * y


def _div(x: Operand, y: Operand) -> Operand:
    return x / y


UNARY: MappingProxyType[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "identity": _identity,
        "negative": torch.neg,
        "abs": torch.abs,
        "square": torch.square,
        "cube": _cube,
        "sqrt": torch.sqrt,
        "sqrtabs": _sqrtabs,
        "reciprocal": torch.reciprocal,
        "exp": torch.exp,
        "expm1": torch.expm1,
        "log": torch.log,
        "log1pabs": _log1pabs,
        "sin": torch.sin,
        "cos": torch.cos,
        "sinc": _sinc,
        "sinh": torch.sinh,
        "cosh": torch.cosh,
        "tanh": torch.tanh,
        "arcsinh": torch.asinh,
        "arctan": torch.atan,
        "arctanh": torch.atanh,
        "erf": torch.erf,
        "erfc": torch.erfc,
        "gaussian": _gaussian,
        "sigmoid": torch.sigmoid,
        "logsigmoid": F.logsigmoid,
        "hardsigmoid": F.hardsigmoid,
        "hardtanh": F.hardtanh,
        "relu": torch.relu,
        "leaky_relu": F.leaky_relu,
        "elu": F.elu,
        "selu": torch.selu,
        "silu": F.silu,
        "elish": _elish,
        "gelu": F.gelu,
        "mish": _mish,
        "softplus": F.softplus,
        "softsign": F.softsign,
    }
)
"""Words of one argument.

``gaussian`` is exp(-x²), ``sinc`` is sin(x)/x, ``leaky_relu`` has the slope 0.01.
"""

BINARY: MappingProxyType[str, Callable[..., Operand]] = MappingProxyType(
    {
        "add": _add,
        "sub": _sub,
        "mul": _mul,
        "div": _div,
        "max": _maximum,
        "min": _minimum,
        "pow": torch.pow,
    }
)
"""Words of two arguments; the second one of ``pow`` is a number."""

COMMUTATIVE = frozenset({"add", "mul", "max", "min"})
