"""Content by name: packages of tasks and of search spaces, found through entry points.

No list is kept by hand.
"""

from __future__ import annotations

import importlib
import pkgutil
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Literal

from actsearch.errors import SearchSpaceError, TaskError, UnknownNameError

Group = Literal["tasks", "search_spaces"]

_ERROR: dict[Group, type[TaskError | SearchSpaceError]] = {
    "tasks": TaskError,
    "search_spaces": SearchSpaceError,
}


def members(group: Group) -> dict[str, Path]:
    """Return the files of a group by name: modules for tasks, YAML files for search spaces.

    Raises:
        TaskError, SearchSpaceError: two packages hold the same name, or one does not import.
    """
    found: dict[str, Path] = {}
    for entry in entry_points(group=f"actsearch.{group}"):
        for folder in _folders(group, entry):
            if group == "tasks":
                files = [
                    folder / f"{m.name}{'' if m.ispkg else '.py'}"
                    for m in pkgutil.iter_modules([str(folder)])
                ]
            else:
                files = sorted(folder.glob("*.yaml"))
            for file in files:
                if file.stem.startswith("_"):
                    continue
                if file.stem in found and found[file.stem] != file:
                    raise _ERROR[group](
                        f"{file.stem!r} must be one of the {group}, but {found[file.stem]} and"
                        f" {file} both are."
                    )
                found[file.stem] = file
    return dict(sorted(found.items()))


def find(group: Group, name: str) -> Path:
    """Return the file of that name.

    Raises:
        UnknownNameError: no such name; the message has the nearest.
    """
    known = members(group)
    if name not in known:
        what, own = (
            ("task", "class by dotted path")
            if group == "tasks"
            else ("search space", "file by path")
        )
        raise UnknownNameError.among(what, name, known, f"Give a {own} for one of your own.")
    return known[name]


def module_of(group: Group, name: str) -> str:
    """Return the dotted module name of a task, from the package that holds it."""
    file = find(group, name)
    for entry in entry_points(group=f"actsearch.{group}"):
        if file.parent in _folders(group, entry):
            return f"{entry.value}.{name}"
    raise AssertionError(f"{file} lies in no package of {group}")


def _folders(group: Group, entry: EntryPoint) -> list[Path]:
    """Return the folders of the package behind an entry point.

    Raises:
        TaskError, SearchSpaceError: the package does not import, or is a module without a folder.
    """
    owner = entry.dist.name if entry.dist else "an unknown distribution"
    what = f"{entry.value!r}, the {group.replace('_', ' ')} of {owner},"
    try:
        package = importlib.import_module(entry.value)
    except Exception as error:  # another project's code, which may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise _ERROR[group](
            f"{what} must be importable, but got {reason}. Reinstall or remove {owner}."
        ) from error
    if not hasattr(package, "__path__"):
        raise _ERROR[group](
            f"{what} must be a package, but got {getattr(package, '__file__', package)}. Reinstall"
            f" or remove {owner}."
        )
    return [Path(folder) for folder in package.__path__]
