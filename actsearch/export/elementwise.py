"""Elementwise operations of torch as expressions of C99 in single precision.

Each is written in the form that keeps its digits: GELU by ``erfcf``, not by one plus ``erff``. A
choice of two numbers is one of C, since ``fmaxf`` is a call of a function on many devices.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from actsearch.errors import ExportError

Write = Callable[..., str]

PLAIN: Mapping[str, str] = MappingProxyType(
    {
        "rsub": "{1} - {0}",
        "mul": "{0} * {1}",
        "neg": "-{0}",
        "abs": "fabsf({0})",
        "reciprocal": "1.0f / {0}",
        "sqrt": "sqrtf({0})",
        "rsqrt": "1.0f / sqrtf({0})",
        **{
            name: name + "f({0})"
            for name in (
                "exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "sin", "cos", "tan",
                "sinh", "cosh", "tanh", "asin", "acos", "atan", "asinh", "acosh", "atanh",
                "erf", "erfc", "floor", "ceil", "trunc", "lgamma",
            )
        },
        "round": "rintf({0})",
        "atan2": "atan2f({0}, {1})",
        "hypot": "hypotf({0}, {1})",
        "copysign": "copysignf({0}, {1})",
        "sigmoid": "1.0f / (1.0f + expf(-{0}))",
        "log_sigmoid_forward": "({0} > 0.0f ? 0.0f : {0}) - log1pf(expf(-fabsf({0})))",
        "silu": "{0} / (1.0f + expf(-{0}))",
        "mish": "{0} * tanhf(log1pf(expf({0})))",
        "relu": "{0} < 0.0f ? 0.0f : {0}",
        "softshrink": "{0} > {1} ? {0} - {1} : ({0} < -({1}) ? {0} + {1} : 0.0f)",
        "hardshrink": "{0} > {1} || {0} < -({1}) ? {0} : 0.0f",
        "threshold": "{0} > {1} ? {0} : {2}",
        "minimum": "{0} > {1} ? {1} : {0}",
        "maximum": "{0} < {1} ? {1} : {0}",
        "where": "{0} ? {1} : {2}",
        "sign": "({0} > 0.0f) - ({0} < 0.0f)",
        "eq": "{0} == {1}",
        "ne": "{0} != {1}",
        "lt": "{0} < {1}",
        "le": "{0} <= {1}",
        "gt": "{0} > {1}",
        "ge": "{0} >= {1}",
        "logical_not": "!{0}",
        "bitwise_not": "!{0}",
        "logical_and": "{0} && {1}",
        "bitwise_and": "{0} && {1}",
        "logical_or": "{0} || {1}",
        "bitwise_or": "{0} || {1}",
        "isnan": "{0} != {0}",
        "remainder": "{0} - floorf({0} / {1}) * {1}",
        "fmod": "fmodf({0}, {1})",
        "index_select": "{0}[{2}]",
        "embedding": "{0}[{1}]",
    }
)  # fmt: skip
"""By the operation's name; ``{0}`` is a name or a number, so that it needs no parentheses."""


def number(value: float) -> str:
    """Return a number as C reads it in single precision.

    >>> number(1), number(0.1), number(float("inf"))
    ('1.0f', '0.100000001f', 'INFINITY')
    """
    import numpy as np

    single = float(np.float32(value))
    if math.isnan(single):
        return "NAN"
    if math.isinf(single):
        return "INFINITY" if single > 0 else "-INFINITY"
    text = f"{single:.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def _add(a: str, b: str, alpha: float = 1, sign: str = "+") -> str:
    return f"{a} {sign} {b}" if alpha == 1 else f"{a} {sign} {number(alpha)} * {b}"


def _sub(a: str, b: str, alpha: float = 1) -> str:
    return _add(a, b, alpha, "-")


def _div(a: str, b: str, rounding_mode: str | None = None) -> str:
    if re.fullmatch(r"[\d.e-]+f", b) and math.frexp(float(b[:-1]))[0] == 0.5:
        return f"{a} * {number(1 / float(b[:-1]))}"  # of a power of two: the same number
    rounded = {None: "{}", "floor": "floorf({})", "trunc": "truncf({})"}[rounding_mode]
    return rounded.format(f"{a} / {b}")


def _clamp(x: str, low: str | None = None, high: str | None = None) -> str:
    inside = x if high is None else f"{x} > {high} ? {high} : {x}"
    return inside if low is None else f"{x} < {low} ? {low} : {inside}"


def _hardtanh(x: str, low: str = "-1.0f", high: str = "1.0f") -> str:
    return _clamp(x, low, high)


def _leaky_relu(x: str, slope: str = "0.01f") -> str:
    return f"{x} > 0.0f ? {x} : {x} * {slope}"


def _gelu(x: str, approximate: str = "none") -> str:
    if approximate == "tanh":  # (1 + tanh u) / 2 is 1 / (1 + exp(-2u))
        return f"{x} / (1.0f + expf(-1.59576912f * ({x} + 0.044715f * {x} * {x} * {x})))"
    return f"0.5f * {x} * erfcf({x} * -0.707106781f)"


def _softplus(x: str, beta: str = "1.0f", threshold: str = "20.0f") -> str:
    return f"{x} * {beta} > {threshold} ? {x} : log1pf(expf({x} * {beta})) / {beta}"


def _elu(x: str, alpha: str = "1.0f", scale: str = "1.0f", inner: str = "1.0f") -> str:
    return f"{x} > 0.0f ? {x} * {scale} : {alpha} * {scale} * expm1f({x} * {inner})"


POWERS = {
    "1.0f": "{0}",
    "2.0f": "{0} * {0}",
    "3.0f": "{0} * {0} * {0}",
    "0.5f": "sqrtf({0})",
    "-0.5f": "1.0f / sqrtf({0})",
    "-1.0f": "1.0f / {0}",
    "-2.0f": "1.0f / ({0} * {0})",
}


def _pow(base: str, exponent: str) -> str:
    return POWERS.get(exponent, "powf({0}, {1})").format(base, exponent)


SPECIAL: Mapping[str, Write] = MappingProxyType(
    {
        "add": _add,
        "sub": _sub,
        "div": _div,
        "clamp": _clamp,
        "clamp_min": lambda x, low: _clamp(x, low),
        "clamp_max": lambda x, high: _clamp(x, None, high),
        "hardtanh": _hardtanh,
        "leaky_relu": _leaky_relu,
        "gelu": _gelu,
        "softplus": _softplus,
        "elu": _elu,
        "pow": _pow,
    }
)
"""Operations with options."""


def is_elementwise(name: str) -> bool:
    """Whether an operation is in the table.

    >>> is_elementwise("tanh"), is_elementwise("convolution")
    (True, False)
    """
    return name in PLAIN or name in SPECIAL


def expression(name: str, *operands: Any, **options: Any) -> str:
    """Return an operation as an expression of C.

    Args:
        name: of torch's operation, such as ``tanh``.
        *operands: names or numbers of C.
        **options: numbers or words, as torch has them.

    Raises:
        ExportError: an option that has no form in C.

    >>> expression("gelu", "x")
    '0.5f * x * erfcf(x * -0.707106781f)'
    """
    try:
        if name in SPECIAL:
            return SPECIAL[name](*operands, **options)
        return PLAIN[name].format(*operands)
    except (TypeError, KeyError, IndexError):
        raise ExportError(
            f"{name} must be written in C with options that it knows, but got {operands} and"
            f" {options}. Write ONNX instead: --to onnx."
        ) from None
