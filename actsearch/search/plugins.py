"""Content by name: packages of tasks and of search spaces, found through entry points; no list is kept by hand."""

from __future__ import annotations

import importlib
import pkgutil
from importlib.metadata import entry_points
from pathlib import Path
from typing import Literal

from actsearch.errors import SearchSpaceError, TaskError, UnknownNameError

Group = Literal["tasks", "search_spaces"]


def members(group: Group) -> dict[str, Path]:
    """Return the files of a group by name: modules for tasks, YAML files for search spaces.

    Raises:
        TaskError, SearchSpaceError: two packages hold the same name.
    """
    found: dict[str, Path] = {}
    for entry in entry_points(group=f"actsearch.{group}"):
        package = importlib.import_module(entry.value)
        for folder in map(Path, package.__path__):
            if group == "tasks":
                files = [folder / f"{m.name}{'' if m.ispkg else '.py'}" for m in pkgutil.iter_modules([str(folder)])]
            else:
                files = sorted(folder.glob("*.yaml"))
            for file in files:
                if file.stem.startswith("_"):
                    continue
                if file.stem in found and found[file.stem] != file:
                    error = TaskError if group == "tasks" else SearchSpaceError
                    raise error(
                        f"{file.stem!r} must be one of the {group}, but {found[file.stem]} and {file} both are."
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
        what, own = ("task", "class by dotted path") if group == "tasks" else ("search space", "file by path")
        raise UnknownNameError.among(what, name, known, f"Give a {own} for one of your own.")
    return known[name]


def module_of(group: Group, name: str) -> str:
    """Return the dotted module name of a task, from the package that holds it."""
    file = find(group, name)
    for entry in entry_points(group=f"actsearch.{group}"):
        if file.parent in map(Path, importlib.import_module(entry.value).__path__):
            return f"{entry.value}.{name}"
    raise AssertionError(f"{file} lies in no package of {group}")
