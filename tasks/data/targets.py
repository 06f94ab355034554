"""Inputs with several targets: the digits with three, or an ``.npz`` file of one's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from actsearch.errors import InvalidValueError, UnknownNameError

from .images import load_digits
from .tables import read_arrays


@dataclass(frozen=True)
class Targets:
    """Inputs with several targets.

    Args:
        x: inputs, float32 ``(N, D)``.
        y: by name, class numbers ``(N,)``, int64; or values ``(N, K)``, float32.
    """

    x: np.ndarray
    y: dict[str, np.ndarray]


def load_targets(data: str) -> Targets:
    """Return inputs with several targets by name.

    Args:
        data: ``digits`` with ``class``, ``parity`` and ``ink``, the mean of the pixels; or an
            ``.npz`` file with x ``(N, D)`` and two targets or more, each under a name of its own:
            whole numbers or text ``(N,)`` are classes, other numbers ``(N,)`` or ``(N, K)`` values.

    Raises:
        UnknownNameError: none of these.
        InvalidValueError: a file that does not hold such arrays.
    """
    if data.endswith(".npz"):
        return _read(data)
    if data != "digits":
        raise UnknownNameError.among("data", data, ["digits"], "Or a file that ends in .npz.")
    digits = load_digits()
    x = digits.x.reshape(len(digits.x), -1)
    ink = x.mean(1, keepdims=True)
    return Targets(x, {"class": digits.y, "parity": digits.y % 2, "ink": ink})


def _read(path: str) -> Targets:
    arrays = read_arrays(path)
    x = arrays.pop("x", None)
    if x is None or x.ndim != 2 or x.dtype.kind not in "biuf" or len(arrays) < 2:
        raise InvalidValueError(
            f"{path} must hold numbers x (N, D) and two targets or more, but got"
            f" {'no x' if x is None else f'x {x.shape}'} and targets {', '.join(arrays) or 'none'}."
        )
    if not np.isfinite(x).all():
        raise InvalidValueError(f"x of {path} must be finite, but got NaN or inf.")
    found = {name: _target(f"{name} of {path}", len(x), y) for name, y in arrays.items()}
    return Targets(x.astype(np.float32), found)


def _target(name: str, rows: int, y: np.ndarray | None) -> np.ndarray:
    """Return the numbers of classes, or values as a matrix."""
    if y is not None and y.shape == (rows,) and y.dtype.kind in "biuU":
        return np.unique(y, return_inverse=True)[1].astype(np.int64)
    if y is None or y.ndim not in (1, 2) or len(y) != rows or y.dtype.kind != "f":
        shape = None if y is None else f"{y.dtype} {y.shape}"
        raise InvalidValueError(
            f"{name} must be classes ({rows},) or decimal numbers ({rows},) or ({rows}, K), but got"
            f" {shape}."
        )
    if not np.isfinite(y).all():
        raise InvalidValueError(f"{name} must be finite, but got NaN or inf.")
    return y.reshape(rows, -1).astype(np.float32)
