"""From a name to a measure: those that come along, those of other projects, and own ones by path.

No list is kept by hand.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

from actsearch.dotted import import_dotted
from actsearch.errors import InvalidValueError, MeasureError, UnknownNameError
from actsearch.measures import builtin
from actsearch.measures.measure import Direction, Measure

GROUP = "actsearch.measures"
"""The group of entry points: a measure's name, and where its class is."""


def all_measures() -> dict[str, type[Measure]]:
    """Return every measure that has a name: those that come along, and those of entry points.

    Raises:
        MeasureError: two of one name, or one that does not import or is no measure.
    """
    found = dict(_builtin()) | {name: _load(entry) for name, entry in _entries().items()}
    return dict(sorted(found.items()))


def find(name: str) -> type[Measure]:
    """Return the measure of a name, or at a dotted path ``package.module.Class``.

    A path may come from a command or from Python, never from a file such as a placement.

    Raises:
        UnknownNameError: no such name; the message has the nearest.
        MeasureError: a path that leads to no measure.
    """
    entries = _entries()
    if name in _builtin():
        return _builtin()[name]
    if name in entries:
        return _load(entries[name])
    if "." in name:
        return _import(name)
    known = {*_builtin(), *entries}
    raise UnknownNameError.among(
        "measure",
        name,
        known,
        "`actsearch measures` lists them; give a class by dotted path for one of your own.",
    )


def build(measure: str | type[Measure], options: Mapping[str, Any] | None = None) -> Measure:
    """Build a measure with its options.

    Args:
        measure: a name, a dotted path, or the class itself.
        options: its constructor's arguments; text is read as the type that stands there.

    Raises:
        UnknownNameError: no such measure or option; the message has the nearest.
        InvalidValueError: an option of a wrong type or out of its range.

    >>> build("certified_accuracy", {"radius": 0.1}).radius
    0.1
    """
    from jsonargparse import ArgumentError, ArgumentParser

    cls = find(measure) if isinstance(measure, str) else measure
    known = list(inspect.signature(cls).parameters)
    for option in options or {}:
        if option not in known:
            raise UnknownNameError.among(f"option of {cls.name}", option, known)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(cls, cls.name, fail_untyped=False)
    try:
        parsed = parser.parse_object({cls.name: dict(options or {})} if known else {})
    except (ArgumentError, TypeError, KeyError) as error:
        raise InvalidValueError(" ".join(f"{error}".split())) from None
    built: Measure = parser.instantiate(parsed)[cls.name] if known else cls()
    return built


def directions() -> dict[str, Direction]:
    """Return the better direction of each measure that has one.

    >>> directions()["latency"], directions()["certified_accuracy"]
    ('min', 'max')
    """
    return {
        name: cls.direction for name, cls in all_measures().items() if cls.direction is not None
    }


@cache
def _builtin() -> Mapping[str, type[Measure]]:
    found = {}
    for info in pkgutil.iter_modules(builtin.__path__, f"{builtin.__name__}."):
        for thing in vars(importlib.import_module(info.name)).values():
            if _is_measure(thing) and thing.__module__ == info.name:
                found[thing.name] = thing
    return MappingProxyType(found)


def _entries() -> dict[str, EntryPoint]:
    """Return the measures of other projects by name; none is imported yet."""
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        if entry.name in _builtin() or found.get(entry.name, entry) != entry:
            raise MeasureError(
                f"{entry.name!r} must be the name of one measure, but {entry.value} of"
                f" {_owner(entry)} has it too. Remove {_owner(entry)}."
            )
        found[entry.name] = entry
    return found


def _load(entry: EntryPoint) -> type[Measure]:
    what = f"{entry.value!r}, a measure of {_owner(entry)},"
    try:
        found = entry.load()
    except Exception as error:  # another project's code, which may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise MeasureError(
            f"{what} must be importable, but got {reason}. Reinstall or remove {_owner(entry)}."
        ) from error
    if not _is_measure(found) or found.name != entry.name:
        raise MeasureError(
            f"{what} must be a Measure of the name {entry.name!r}, but got {found!r}. Reinstall or"
            f" remove {_owner(entry)}."
        )
    measure: type[Measure] = found
    return measure


def _import(path: str) -> type[Measure]:
    found = import_dotted(path, MeasureError)
    if not _is_measure(found):
        raise MeasureError(
            f"{path!r} must be a complete subclass of actsearch.measures.Measure, but is {found!r}."
        )
    measure: type[Measure] = found
    return measure


def _is_measure(thing: Any) -> bool:
    return isinstance(thing, type) and issubclass(thing, Measure) and not inspect.isabstract(thing)


def _owner(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "an unknown distribution"
