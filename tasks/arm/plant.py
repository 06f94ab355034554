"""What is controlled: a linear plant of one input and output, by name, as text or from a file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from actsearch.errors import InvalidValueError, SearchSpaceError, UnknownNameError
from actsearch.search.space import strict_yaml

from ..data.columns import read_columns

INERTIA, DAMPING, MOTOR_CONSTANT, RESISTANCE = 3.2284e-6, 3.5077e-6, 0.0274, 4.0
"""J in kg m², b in N m s, K in V s and N m / A, R in ohm, of the motor below."""

FEWEST_RECORDED = 20
"""Of a recorded response."""

MOST_LEFT = 0.1
"""Of a recorded response's range, that a fitted plant may leave unexplained."""


@dataclass(frozen=True)
class Plant:
    r"""A linear system :math:`\dot x = A x + B u`, :math:`y = C x`, at rest at 0.

    Args:
        A: ``(n, n)``.
        B: ``(n,)``.
        C: ``(n,)``.
    """

    A: np.ndarray
    B: np.ndarray
    C: np.ndarray

    @property
    def poles(self) -> np.ndarray:
        """Eigenvalues of A ``(n,)``."""
        return np.linalg.eigvals(self.A)


def load_plant(text: str) -> Plant:
    """Return a plant.

    Args:
        text: ``dc_motor``; a transfer function ``[num], [den]``, highest power first; a YAML file
            with A, B and C; or a CSV file of a recorded step response with columns t, u and y.

    Raises:
        UnknownNameError: none of these.
        InvalidValueError: one of these that is no plant.
    """
    if text == "dc_motor":
        return dc_motor()
    if text.endswith((".yaml", ".yml")):
        return read_state_space(text)
    if text.endswith(".csv"):
        t, u, y = (column.numpy() for column in read_columns(text, ("t", "u", "y")))
        return fit_plant(t, u, y, text)
    found = re.fullmatch(r"\s*\[([^\[\]]*)\]\s*,\s*\[([^\[\]]*)\]\s*", text)
    if found is None:
        way_out = "Or '[num], [den]', or a .yaml or .csv file."
        raise UnknownNameError.among("plant", text, ["dc_motor"], way_out)
    return transfer_function(*(_coefficients(part, text) for part in found.groups()))


def dc_motor() -> Plant:
    r"""Return a motor's angle over its voltage, without the winding's inductance.

    .. math:: \frac{\theta}{u} = \frac{K / (R J)}{s \left(s + (b + K^2 / R) / J\right)}

    With its 2.75e-6 H there is a third pole at -1.45e6 1/s, which moves the others by less than
    0.1 %, and for which explicit steps would have to be shorter than a microsecond.

    References:
        Control Tutorials for MATLAB and Simulink, motor position, D. Tilbury and B. Messner,
        https://ctms.engin.umich.edu
    """
    gain = MOTOR_CONSTANT / (RESISTANCE * INERTIA)
    return transfer_function([gain], [1, (DAMPING + MOTOR_CONSTANT**2 / RESISTANCE) / INERTIA, 0])


def transfer_function(numerator: list[float], denominator: list[float]) -> Plant:
    """Return the plant of a transfer function, coefficients with the highest power first.

    Raises:
        InvalidValueError: no coefficients, a leading or only 0, or a numerator of no lower degree.
    """
    if not (numerator and denominator and numerator[0] and denominator[0]):
        raise InvalidValueError(
            "plant must have a numerator and a denominator that do not begin with 0, but got"
            f" {numerator}, {denominator}."
        )
    if len(numerator) >= len(denominator):
        raise InvalidValueError(
            "plant must have a numerator of lower degree than its denominator, since no joint"
            f" follows at once, but got {numerator}, {denominator}."
        )
    from scipy.signal import tf2ss

    A, B, C, _ = tf2ss(numerator, denominator)
    return Plant(A, B[:, 0], C[0])


def _coefficients(part: str, text: str) -> list[float]:
    try:
        found = [float(number) for number in part.replace(",", " ").split()]
    except ValueError:
        found = [np.nan]
    if not np.isfinite(found).all():
        raise InvalidValueError(f"plant must be numbers in '[num], [den]', but got {text!r}.")
    return found


def read_state_space(path: str) -> Plant:
    """Return the plant of a YAML file with A (rows), B and C, and D, if it is there, 0.

    Raises:
        InvalidValueError: other keys, shapes that do not fit, or D other than 0.
    """
    try:
        given, _ = strict_yaml.load(Path(path).expanduser())
    except SearchSpaceError as error:
        raise InvalidValueError(str(error)) from None
    if not isinstance(given, dict) or not {"A", "B", "C"} <= given.keys() <= {"A", "B", "C", "D"}:
        keys = ", ".join(map(str, given)) if isinstance(given, dict) else repr(given)
        raise InvalidValueError(
            f"{path} must have the keys A, B and C, and may have D, but got {keys or 'none'}."
        )
    A, B, C, D = (_matrix(path, name, given.get(name, 0)) for name in "ABCD")
    n = len(A)
    if A.shape != (n, n) or B.size != n or C.size != n or D.any() or D.size != 1:
        raise InvalidValueError(
            f"{path} must have A (n, n), B and C of n numbers, and D 0, but got shapes {A.shape},"
            f" {B.shape}, {C.shape} and D {D.tolist()}."
        )
    return Plant(A, B.ravel(), C.ravel())


def _matrix(path: str, name: str, value: Any) -> np.ndarray:
    try:
        found = np.atleast_1d(np.asarray(value, dtype=float))
    except (TypeError, ValueError):
        found = np.full(1, np.nan)
    if not np.isfinite(found).all():
        raise InvalidValueError(f"{name} of {path} must be finite numbers, but got {value!r}.")
    return found


def fit_plant(t: np.ndarray, u: np.ndarray, y: np.ndarray, path: str) -> Plant:
    r"""Return the plant of second order that fits a recorded response, at rest at first.

    .. math:: \ddot y = -a \dot y - b y + c u

    Begun from the equation integrated twice, which is linear in a, b and c, and refined by the
    squared error of the response.

    Args:
        t: even times ``(N,)``.
        u: input ``(N,)``, held between times.
        y: output ``(N,)``, of which the first is taken for rest.
        path: for messages.

    Raises:
        InvalidValueError: too few samples, uneven times, nothing that varies, or a response that
            such a plant does not explain.
    """
    from scipy.integrate import cumulative_trapezoid
    from scipy.optimize import least_squares
    from scipy.signal import cont2discrete, lfilter, ss2tf

    steps = np.diff(t)
    if len(t) < FEWEST_RECORDED or not (np.abs(steps - steps.mean()) < 0.01 * steps.mean()).all():
        raise InvalidValueError(
            f"t of {path} must rise evenly over at least {FEWEST_RECORDED} lines, but got {len(t)}"
            f" with steps from {steps.min(initial=np.inf):g} to {steps.max(initial=0):g}."
        )
    moved = y - y[0]
    if not u.any() or not moved.any():
        raise InvalidValueError(
            f"u of {path} must not be 0 always, and y must move, but got u up to"
            f" {np.abs(u).max():g} and y over {np.ptp(y):g}."
        )

    def response(constants: np.ndarray) -> np.ndarray:
        plant = _second_order(*constants)
        A, B, C, D, _ = cont2discrete((plant.A, plant.B[:, None], plant.C[None], 0), steps.mean())
        numerator, denominator = ss2tf(A, B, C, D)
        found: np.ndarray = lfilter(numerator[0], denominator, u)
        return found

    def once(column: np.ndarray) -> np.ndarray:
        found: np.ndarray = cumulative_trapezoid(column, t, initial=0)
        return found

    def twice(column: np.ndarray) -> np.ndarray:
        found: np.ndarray = cumulative_trapezoid(once(column), t, initial=0)
        return found

    columns = np.stack([-once(moved), -twice(moved), twice(u)], 1)
    start = np.linalg.lstsq(columns, moved)[0]
    fitted = least_squares(
        lambda constants: np.nan_to_num(response(constants) - moved, posinf=1e6, neginf=-1e6),
        start,
        x_scale=np.maximum(np.abs(start), 1e-3 * np.abs(start).max()),
    ).x
    left = np.sqrt(np.mean((response(fitted) - moved) ** 2)) / np.ptp(moved)
    if not left < MOST_LEFT:
        raise InvalidValueError(
            f"{path} must be the response of a plant of second order at rest, but the best leaves"
            f" {100 * left:.0f} % of its range. Give '[num], [den]' instead."
        )
    return _second_order(*fitted)


def _second_order(a: float, b: float, c: float) -> Plant:
    return Plant(np.array([[0.0, 1.0], [-b, -a]]), np.array([0.0, c]), np.array([1.0, 0.0]))
