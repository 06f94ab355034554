"""Options of a task: what each may be, stated in its annotation and checked in the constructor.

The command line and a direct call so answer with the same line.
"""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from actsearch.errors import InvalidValueError
from actsearch.task.task import Task


@dataclass(frozen=True)
class Interval:
    """The numbers that an option may be, as metadata of its annotation.

    Args:
        low: the least.
        high: the greatest; infinity itself is never allowed.
        open: whether both ends are left out.

    >>> width: Annotated[int, Interval(4)] = 8
    """

    low: float
    high: float = math.inf
    open: bool = False


PositiveInt = Annotated[int, Interval(1)]
NonNegativeInt = Annotated[int, Interval(0)]
PositiveFloat = Annotated[float, Interval(0, open=True)]
NonNegativeFloat = Annotated[float, Interval(0)]
OpenUnitInterval = Annotated[float, Interval(0, 1, open=True)]
ClosedUnitInterval = Annotated[float, Interval(0, 1)]


def options(task: type[Task]) -> dict[str, Any]:
    """Return the options of a task with their annotations, those of its bases included."""
    found: dict[str, Any] = {}
    for cls in task.__mro__[: task.__mro__.index(Task)]:
        constructor = vars(cls).get("__init__")
        if constructor is not None:
            hints = get_type_hints(constructor, include_extras=True)
            _, *parameters = inspect.signature(constructor).parameters.values()
            named = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]
            found = {name: hints.get(name, Any) for name in named} | found
    return found


def check_options(task: Task) -> None:
    """Check what :meth:`save_hyperparameters` has kept of a task's constructor.

    Raises:
        InvalidValueError: a value that its annotation does not allow: an :class:`Interval` of
            numbers, or a ``Literal`` choice.
    """
    for name, annotation in options(type(task)).items():
        if name in task.hparams:
            check_option(name, task.hparams[name], annotation)


def check_option(name: str, value: object, annotation: Any) -> None:
    """Check one option, as :func:`check_options` all of a task."""
    allowed = get_args(annotation) if type(None) in get_args(annotation) else (annotation,)
    if value is None and type(None) in allowed:
        return
    for kind in allowed:
        if get_origin(kind) is Literal and value not in get_args(kind):
            known = ", ".join(map(str, get_args(kind)))
            raise InvalidValueError(f"{name} must be one of {known}, but got {value!r}.")
        for interval in getattr(kind, "__metadata__", ()):
            if isinstance(interval, Interval) and not _holds(interval, kind.__origin__, value):
                rule = _rule(interval, kind.__origin__)
                raise InvalidValueError(f"{name} must be {rule}, but got {value!r}.")


def _rule(interval: Interval, kind: type) -> str:
    if interval.high < math.inf:
        return f"between {interval.low:g} and {interval.high:g}"
    noun = "a whole number" if kind is int else "a finite number"
    return f"{noun} {'above' if interval.open else 'of at least'} {interval.low:g}"


def _holds(interval: Interval, kind: type, value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int if kind is int else (int, float)):
        return False
    if interval.open:
        return interval.low < value < interval.high
    return interval.low <= value <= interval.high and math.isfinite(value)
