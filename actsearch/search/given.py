"""Classes and functions that a user gave in Python, by the dotted paths under which a study keeps them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cloudpickle

from actsearch.errors import TaskError

_GIVEN: dict[str, Any] = {}


def give(thing: Any) -> str:
    """Note a class or a function, and return its dotted path: the name that it goes under in a study.

    Raises:
        TaskError: neither a class nor a function, or the name is taken by another one.
    """
    name = getattr(thing, "__qualname__", "")
    if not callable(thing) or not name or name == "<lambda>":
        raise TaskError(
            f"what is trained must be a class, (class, options) or a function with a name, but got {thing!r}."
        )
    path = f"{thing.__module__}.{name}"
    _GIVEN[path] = thing
    return path


def look_up(path: str) -> Any | None:
    """Return what was given under a dotted path, or ``None``."""
    return _GIVEN.get(path)


def dumps(paths: Iterable[str]) -> bytes:
    """Return what was given under some of the paths as bytes for a process of ours; empty where nothing was.

    What a notebook or a script defines travels by value (cloudpickle), since no other process can import it. The bytes
    go through a pipe between processes of one search, and never into a file.
    """
    wanted = {path: _GIVEN[path] for path in paths if path in _GIVEN}
    return bytes(cloudpickle.dumps(wanted)) if wanted else b""


def loads(data: bytes) -> None:
    """Note what :func:`dumps` returned in another process."""
    if data:
        _GIVEN.update(cloudpickle.loads(data))  # from the process that started this one
