"""Content by name: packages of tasks and of search spaces, found through entry points.

No list is kept by hand.
"""

from __future__ import annotations

import ast
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
    """Return the files of a group by name: modules and packages for tasks, YAML for search spaces.

    A module or package is a task where it brings a class: one that it defines, or that its
    ``__init__`` hands on (``from .task import Flow as Flow``). What brings none is shared by
    several.

    Raises:
        TaskError, SearchSpaceError: two packages hold the same name, or one does not import.
    """
    found: dict[str, Path] = {}
    for entry in entry_points(group=f"actsearch.{group}"):
        for folder in _folders(group, entry):
            for file in _files(group, folder):
                if file.stem in found and found[file.stem] != file:
                    raise _ERROR[group](
                        f"{file.stem!r} must be one of the {group}, but {found[file.stem]} and"
                        f" {file} both are."
                    )
                found[file.stem] = file
    return dict(sorted(found.items()))


def _files(group: Group, folder: Path) -> list[Path]:
    if group == "search_spaces":
        return sorted(folder.glob("*.yaml"))
    modules = pkgutil.iter_modules([str(folder)])
    files = [folder / (m.name if m.ispkg else f"{m.name}.py") for m in modules]
    return [file for file in files if file.name[0] != "_" and _brings_class(source(file))]


def source(member: Path) -> Path:
    """Return the file that a task's module or package begins with."""
    return member / "__init__.py" if member.is_dir() else member


def _brings_class(file: Path) -> bool:
    """Tell by reading, not by importing: a list must be quick."""
    try:
        body = ast.parse(file.read_text(encoding="utf-8")).body
    except SyntaxError:
        return True  # so that importing it says what is wrong
    handed_on = (
        alias.asname == alias.name and alias.name[0].isupper()
        for node in body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    )
    return any(isinstance(node, ast.ClassDef) for node in body) or any(handed_on)


def find_member(group: Group, name: str) -> Path:
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
    file = find_member(group, name)
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
