"""What stands at a dotted path, such as ``package.module.Class``, seen from the current folder."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path
from typing import Any

from actsearch.errors import ActsearchError


def see_current_folder() -> None:
    """Let modules of the current folder be imported, as Python does for a script in it."""
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))


def imported_from(node: ast.ImportFrom, package: str) -> str:
    """Return the module that an import statement names.

    Args:
        node: ``from MODULE import ...``, with or without leading dots.
        package: of the code that it stands in; a package's own name in its ``__init__.py``.

    >>> imported_from(ast.parse("from ..layers import twice").body[0], "mine.models")
    'mine.layers'
    """
    parts = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
    return ".".join([*parts, *filter(None, [node.module])])


def import_dotted(path: str, error: type[ActsearchError]) -> Any:
    """Return what stands at a dotted path; ``None`` where its module has nothing of that name.

    Args:
        path: from the current folder, or of an installed package.
        error: what is raised where there is no such module, or the path cannot be one.
    """
    see_current_folder()
    module, _, name = path.rpartition(".")
    if not module or module.startswith("."):
        raise error(f"{path!r} must be a dotted path, such as package.module.Class.")
    try:
        return getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as missing:
        raise error(
            f"{path!r} must be importable, but there is no module {missing.name!r} from this"
            " folder. Check the path."
        ) from None
