"""Checks of a task's options: one clear line each."""

from __future__ import annotations

import math
from collections.abc import Iterable

from actsearch.errors import InvalidValueError


def one_of(name: str, value: object, choices: Iterable[object]) -> None:
    """Raise :class:`InvalidValueError` where ``value`` is none of the choices."""
    known = list(choices)
    if value not in known:
        raise InvalidValueError(
            f"{name} must be one of {', '.join(map(str, known))}, but got {value!r}."
        )


def at_least(name: str, value: float, minimum: float, *, whole: bool = False) -> None:
    """Raise :class:`InvalidValueError` where ``value`` is not a finite number of at least ``minimum``."""
    kind = "a whole number" if whole else "a finite number"
    right = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not right or not math.isfinite(value) or value < minimum:
        raise InvalidValueError(
            f"{name} must be {kind} of at least {minimum:g}, but got {value!r}."
        )


def between(name: str, value: float, low: float, high: float) -> None:
    """Raise :class:`InvalidValueError` where ``value`` is not strictly between ``low`` and ``high``."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low < value < high:
        raise InvalidValueError(f"{name} must be between {low:g} and {high:g}, but got {value!r}.")
