"""Functions with known derivatives: a few by name, or an ``.npz`` file of one's own."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import takewhile

import torch
from torch import Tensor

from actsearch.errors import InvalidValueError, UnknownNameError
from actsearch.measures.functional.partial_derivatives import partial_derivatives

from .columns import read_columns, read_header
from .tables import read_arrays

ARRAYS = ("y", "dy", "d2y")

FEWEST_POINTS = 20
"""Rows of a CSV file, at least."""


def load_function(name: str, points: int) -> tuple[Tensor, ...]:
    """Return points of a function with its value and derivatives there, in float64.

    Args:
        name: ``wave``, ``runge``, ``franke``, ``tone``, ``bend``, ``kink`` or ``crease``, on a grid
            over its domain, with derivatives up to the second, of a kink the first; a ``.csv`` file
            with columns x, or x1 and so on, and y; or an ``.npz`` file with arrays x ``(N, D)`` and
            y ``(N, K)`` and, as far as they are known, dy ``(N, K, D)`` and d2y ``(N, K, D, D)``.
            Dimensions of length 1 may be left out.
        points: of a grid along the line, or about as many in the plane.

    Shapes:
        x ``(N, D)``, values ``(N, K)``, each order of derivatives one dimension of length D more.

    Raises:
        UnknownNameError: neither a known name nor a file.
        InvalidValueError: a file whose arrays are not that.
    """
    if name.endswith(".npz"):
        return read_function(name)
    if name.endswith(".csv"):
        return read_points(name)
    if name not in FUNCTIONS:
        raise UnknownNameError.among("target", name, FUNCTIONS, "Or an .npz or .csv file.")
    function, low, high, dimensions, order = FUNCTIONS[name]
    side = round(points ** (1 / dimensions))
    axis = torch.linspace(low, high, side, dtype=torch.float64)
    x = torch.cartesian_prod(*[axis] * dimensions).view(-1, dimensions)
    return (x, *partial_derivatives(function, x, order))


def read_function(path: str) -> tuple[Tensor, ...]:
    """Return x and the values of an ``.npz`` file, with derivatives as far as it has them.

    :func:`load_function` says which arrays, and raises the same.
    """
    given = read_arrays(path, {"x", *ARRAYS})
    arrays = {name: a for name, a in given.items() if a is not None and a.dtype.kind in "fiu"}
    if not {"x", "y"} <= arrays.keys() or not arrays["x"].ndim or not arrays["x"].size:
        raise InvalidValueError(
            f"{path} must hold arrays of numbers x and y, but got {', '.join(given) or 'none'}."
        )
    rows = len(arrays["x"])
    tensors = [torch.from_numpy(arrays["x"]).double().reshape(rows, -1)]
    shape: tuple[int, ...] = (rows, arrays["y"].size // rows)
    for name in takewhile(arrays.__contains__, ARRAYS):
        array = arrays[name]
        if array.shape[:1] != (rows,) or array.size != math.prod(shape):
            raise InvalidValueError(
                f"{name} of {path} must have shape {shape}, but got {array.shape}."
            )
        if not array.any():
            raise InvalidValueError(
                f"{name} of {path} must not be 0 everywhere, since errors are relative to it."
                " Leave it out."
            )
        tensors.append(torch.from_numpy(array).double().reshape(shape))
        shape = (*shape, tensors[0].shape[1])
    if not all(tensor.isfinite().all() for tensor in tensors):
        raise InvalidValueError(f"arrays of {path} must be finite, but got NaN or inf.")
    return tuple(tensors)


def read_points(path: str) -> tuple[Tensor, Tensor]:
    """Return x ``(N, D)`` and y ``(N, 1)`` of a CSV file with columns x, or x1 and so on, and y.

    Raises:
        InvalidValueError: a file that is not that, or columns that do not vary.
    """
    count = sum(name.startswith("x") for name in read_header(path))
    inputs = [f"x{number}" for number in range(1, count + 1)] if count > 1 else ["x"]
    *x, y = read_columns(path, [*inputs, "y"])
    for name, column in zip([*inputs, "y"], [*x, y], strict=True):
        if len(column) < FEWEST_POINTS or not column.std() > 0:
            raise InvalidValueError(
                f"{name} of {path} must vary over at least {FEWEST_POINTS} rows, but got"
                f" {len(column)} rows."
            )
    return torch.stack(x, 1), y[:, None]


def tone(x: Tensor) -> Tensor:
    """Return sin(3x), which is analytic."""
    return torch.sin(3 * x)


def bend(x: Tensor) -> Tensor:
    """Return (x - 0.1) |x - 0.1|, whose second derivative jumps."""
    return (x - 0.1) * (x - 0.1).abs()


def kink(x: Tensor) -> Tensor:
    """Return |x - 0.1|, whose first derivative jumps."""
    return (x - 0.1).abs()


def crease(x: Tensor) -> Tensor:
    """Return |x₁ + x₂/2 - 0.1|, a kink along a line of the plane."""
    return (x[:, :1] + x[:, 1:] / 2 - 0.1).abs()


def wave(x: Tensor) -> Tensor:
    """Return sin(3x) exp(-x²/2)."""
    return torch.sin(3 * x) * torch.exp(-x.square() / 2)


def runge(x: Tensor) -> Tensor:
    """Return Runge's function 1 / (1 + 25 x²)."""
    return 1 / (1 + 25 * x.square())


def franke(x: Tensor) -> Tensor:
    """Return Franke's function of the plane: two peaks and a dip.

    References:
        A critical comparison of some methods for interpolation of scattered data, R. Franke, 1979,
        https://hdl.handle.net/10945/35052
    """
    u, v = (9 * x).split(1, 1)
    return (
        0.75 * torch.exp(-((u - 2).square() + (v - 2).square()) / 4)
        + 0.75 * torch.exp(-(u + 1).square() / 49 - (v + 1) / 10)
        + 0.5 * torch.exp(-((u - 7).square() + (v - 3).square()) / 4)
        - 0.2 * torch.exp(-(u - 4).square() - (v - 7).square())
    )


FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], float, float, int, int]] = {
    "wave": (wave, -2.5, 2.5, 1, 2),
    "runge": (runge, -1.0, 1.0, 1, 2),
    "franke": (franke, 0.0, 1.0, 2, 2),
    "tone": (tone, -1.0, 1.0, 1, 2),
    "bend": (bend, -1.0, 1.0, 1, 2),
    "kink": (kink, -1.0, 1.0, 1, 1),
    "crease": (crease, -1.0, 1.0, 2, 1),
}
"""By name the function, the ends and number of its coordinates, and its known derivatives."""
