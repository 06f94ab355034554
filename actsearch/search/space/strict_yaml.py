"""YAML as it is meant: 1.2 scalars, no anchors, no duplicate keys, bounded.

Every value knows its line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from actsearch.errors import SearchSpaceError
from actsearch.placement.files import read_text

MAX_BYTES = 256_000
MAX_DEPTH = 12
Lines = dict[tuple[str | int, ...], int]


def load(path: Path) -> tuple[Any, Lines]:
    """Read a YAML file into plain data, and the line of every key and item by its path.

    Raises:
        SearchSpaceError: unreadable, too large or deep, an anchor or alias, a duplicate key, or not
            YAML; with file and line.
    """
    try:
        text = read_text(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        raise SearchSpaceError(f"{path} cannot be read: {error}.") from None
    reader = YAML(typ="safe", pure=True)
    try:
        root = reader.compose(text)
        lines: Lines = {}
        return (None if root is None else _plain(reader, root, (), lines, path)), lines
    except SearchSpaceError:
        raise
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SearchSpaceError(f"{path}:{line}: not valid YAML: {error.problem}.") from None
    except (YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise SearchSpaceError(f"{path}: not valid YAML: {reason}.") from None


def _plain(reader: YAML, node: Node, at: tuple[str | int, ...], lines: Lines, path: Path) -> Any:
    line = node.start_mark.line + 1
    lines.setdefault(at, line)
    where = f"{path}:{line}"
    if node.anchor is not None:
        raise SearchSpaceError(
            f"{where}: anchors and aliases are not read here. Write the value out."
        )
    if len(at) > MAX_DEPTH:
        raise SearchSpaceError(f"{where}: nested deeper than {MAX_DEPTH} levels.")
    match node:
        case MappingNode(value=pairs):
            data: dict[str, Any] = {}
            for key_node, value_node in pairs:
                key_line = key_node.start_mark.line + 1
                if not isinstance(key_node, ScalarNode) or key_node.anchor is not None:
                    raise SearchSpaceError(f"{path}:{key_line}: a key must be a plain text.")
                key = str(key_node.value)
                if key in data:
                    raise SearchSpaceError(f"{path}:{key_line}: {key!r} is given twice. Keep one.")
                lines[(*at, key)] = key_line
                data[key] = _plain(reader, value_node, (*at, key), lines, path)
            return data
        case SequenceNode(value=items):
            return [
                _plain(reader, item, (*at, index), lines, path) for index, item in enumerate(items)
            ]
        case ScalarNode():
            if node.tag not in _SCALARS:
                raise SearchSpaceError(
                    f"{where}: the tag {node.tag} is not read here. Use plain numbers, texts,"
                    " lists."
                )
            return reader.constructor.construct_object(node)
        case _:
            raise SearchSpaceError(f"{where}: not a value that is read here.")


_SCALARS = {f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str")}


def line_of(lines: Lines, location: tuple[str | int, ...]) -> int:
    """Return the line of a location, or of the nearest thing around it."""
    while location not in lines and location:
        location = location[:-1]
    return lines.get(location, 1)
