"""Classes and functions that a user gave in Python, by the dotted paths that a study keeps."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterable
from typing import Any

import cloudpickle

from actsearch.errors import TaskError

_GIVEN: dict[str, Any] = {}


def give(thing: Any) -> str:
    """Note a class or a function, and return its dotted path: its name in a study.

    Raises:
        TaskError: neither a class nor a function with a name.
    """
    name = getattr(thing, "__qualname__", "")
    if not callable(thing) or not name or name == "<lambda>":
        what = (
            repr(thing)
            if name or not hasattr(thing, "parameters")
            else f"an instance of {type(thing).__name__}"
        )
        raise TaskError(
            "what is trained must be a class, (class, options) or a function with a name, but got"
            f" {' '.join(what.split())}."
        )
    path = f"{thing.__module__}.{name}"
    _GIVEN[path] = thing
    return path


def look_up(path: str) -> Any | None:
    """Return what was given under a dotted path, or ``None``."""
    return _GIVEN.get(path)


def dumps(paths: Iterable[str]) -> bytes:
    """Return what was given under some of the paths as bytes for a process of ours.

    Empty where nothing was.

    What a notebook or a script defines travels by value (cloudpickle), since no other process can
    import it. The bytes go through a pipe between processes of one search, and never into a file.
    """
    wanted = {path: _GIVEN[path] for path in paths if path in _GIVEN}
    if not wanted:
        return b""
    with io.BytesIO() as buffer:
        _Pickler(buffer).dump(wanted)
        return buffer.getvalue()


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # the library has no types
    """Takes by value what ``functools.cache`` wraps in a notebook as well.

    It would go by a name that is nowhere else.
    """

    def reducer_override(self, thing: Any) -> Any:
        """Return how a cached function is made again; leave all else to the library."""
        if isinstance(thing, functools._lru_cache_wrapper) and thing.__module__ == "__main__":
            return functools.lru_cache(**thing.cache_parameters()), (thing.__wrapped__,)
        return super().reducer_override(thing)


def loads(data: bytes) -> None:
    """Note what :func:`dumps` returned in another process."""
    if data:
        _GIVEN.update(cloudpickle.loads(data))  # from the process that started this one
