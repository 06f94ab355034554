"""What options a class has, read in its source: to import it may take seconds."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from actsearch.dotted import imported_from, see_current_folder


@dataclass(frozen=True)
class DeclaredOption:
    """An option as its source has it.

    Args:
        name: of the argument.
        kind: its type, as text; empty where there is none.
        default: its default, as text; empty where it must be given.
        help: what its docstring says, without markup.
        choices: the values of a literal type.
    """

    name: str
    kind: str = ""
    default: str = ""
    help: str = ""
    choices: tuple[str, ...] = ()


@dataclass
class Declared:
    """What the source of a class says.

    Args:
        options: by name.
        whole: whether these are all; a class may pass others on to one that cannot be read.
        summary: first line of its docstring.
        values: attributes of the class that are written out, such as ``{"max_epochs": 30}``.
    """

    options: dict[str, DeclaredOption] = field(default_factory=dict)
    whole: bool = True
    summary: str = ""
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Module:
    name: str
    package: str
    body: list[ast.stmt]


@cache
def declared(path: str) -> Declared | None:
    """Return the options of the class at a dotted path; ``None`` where no source is found."""
    module, _, name = path.rpartition(".")
    found = _look_up(module, name)
    if found is None or not isinstance(found[0], ast.ClassDef):
        return None
    return _of_class(found[0], found[1])


def class_in(module: str) -> str | None:
    """Return the dotted path of the one class that a module defines or hands on last."""
    read = _module(module)
    names = [n for node in read.body for n in _brought(node)] if read else []
    return f"{module}.{names[-1]}" if read and names else None


def plain(text: str) -> str:
    r"""Return a docstring's text without its markup.

    >>> plain(r"rate :math:`\eta` of ``lr``")
    'rate eta of lr'
    """
    text = re.sub(r":[\w:]+:`~?([^`]*)`", lambda match: match[1].replace("\\", ""), text)
    return re.sub(r"`+([^`]*)`+", r"\1", text)


def _brought(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.ImportFrom):
        yield from (a.name for a in node.names if a.asname == a.name and a.name[0].isupper())


@cache
def _module(name: str) -> _Module | None:
    """Read a module; its packages are not imported."""
    see_current_folder()
    top, *parts = name.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return None
    path = Path(spec.origin)
    for part in parts:
        if path.name != "__init__.py":
            return None
        folder, file = path.parent / part / "__init__.py", path.parent / f"{part}.py"
        path = folder if folder.exists() else file
    try:
        body = ast.parse(path.read_text(encoding="utf-8")).body
    except (OSError, SyntaxError, ValueError):
        return None
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return _Module(name, package, body)


def _look_up(module: str, name: str) -> tuple[ast.stmt, _Module] | None:
    """Return what defines a name in a module, followed through its imports."""
    read = _module(module)
    if read is None:
        return None
    for node in read.body:
        match node:
            case ast.ClassDef() if node.name == name:
                return node, read
            case ast.Assign(targets=[ast.Name(id=target)]) if target == name:
                return node, read
            case ast.ImportFrom():
                for alias in node.names:
                    if (alias.asname or alias.name) == name:
                        return _look_up(imported_from(node, read.package), alias.name)
    return None


def _of_class(cls: ast.ClassDef, module: _Module) -> Declared:
    found = Declared(summary=(ast.get_docstring(cls) or "").partition("\n")[0])
    bases = [_base(base, module) for base in cls.bases]
    for base in reversed(bases):
        found.values |= base.values
    found.values |= dict(_values(cls))
    helps = _helps(ast.get_docstring(cls) or "")
    constructor = next(
        (n for n in cls.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None
    )
    if constructor is None and _is_dataclass(cls):
        found.options = {one.name: one for one in _fields(cls, module, helps)}
        return found
    if constructor is None or constructor.args.kwarg is not None:
        for base in reversed(bases):
            found.options |= base.options
        found.whole = all(base.whole for base in bases)
    if constructor is not None:
        helps |= _helps(ast.get_docstring(constructor) or "")
        own = {one.name: one for one in _arguments(constructor.args, module, helps)}
        found.options = own | {n: o for n, o in found.options.items() if n not in own}
    return found


def _base(node: ast.expr, module: _Module) -> Declared:
    found = _look_up(module.name, node.id) if isinstance(node, ast.Name) else None
    if found is None or not isinstance(found[0], ast.ClassDef):
        return Declared(whole=False)
    return _of_class(found[0], found[1])


def _is_dataclass(cls: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(one) for one in cls.decorator_list)


def _values(cls: ast.ClassDef) -> Iterator[tuple[str, Any]]:
    for node in cls.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(target, ast.Name):
            try:
                yield target.id, ast.literal_eval(node.value)  # type: ignore[arg-type]  # None raises
            except (ValueError, TypeError):
                continue


def _fields(cls: ast.ClassDef, module: _Module, helps: dict[str, str]) -> Iterator[DeclaredOption]:
    for node in cls.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield _option(node.target.id, node.annotation, node.value, module, helps)


def _arguments(
    arguments: ast.arguments, module: _Module, helps: dict[str, str]
) -> Iterator[DeclaredOption]:
    places = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(places) - len(arguments.defaults)) + list(arguments.defaults)
    places, defaults = places[1:] + arguments.kwonlyargs, defaults[1:] + arguments.kw_defaults
    for argument, default in zip(places, defaults, strict=True):
        yield _option(argument.arg, argument.annotation, default, module, helps)


def _option(
    name: str,
    kind: ast.expr | None,
    default: ast.expr | None,
    module: _Module,
    helps: dict[str, str],
) -> DeclaredOption:
    shown = "" if default is None else ast.unparse(default)
    if shown.startswith("field("):
        shown = "[]" if "list" in shown else "{}"
    choices = tuple(_choices(kind, module)) if kind is not None else ()
    return DeclaredOption(
        name, ast.unparse(kind) if kind else "", shown, helps.get(name, ""), choices
    )


def _choices(kind: ast.expr, module: _Module) -> Iterator[str]:
    """Yield the values of a literal type, or of what a name stands for."""
    match kind:
        case ast.BinOp(left=left, op=ast.BitOr(), right=ast.Constant(value=None)):
            yield from _choices(left, module)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=inside):
            for part in inside.elts if isinstance(inside, ast.Tuple) else [inside]:
                if isinstance(part, ast.Constant):
                    yield str(part.value)
                else:
                    yield from _choices(part, module)
        case ast.Name(id=name):
            found = _look_up(module.name, name)
            if found is not None and isinstance(found[0], ast.Assign):
                yield from _choices(found[0].value, found[1])


def _helps(docstring: str) -> dict[str, str]:
    """Return what a docstring says of each argument."""
    helps: dict[str, str] = {}
    name, inside = "", False
    for line in docstring.splitlines():
        if not line.startswith(" "):
            inside = line.strip() == "Args:" or (inside and not line.strip())
        elif inside and (found := re.match(r"    \*{0,2}(\w+)(?: \(.*?\))?: +(.*)", line)):
            name = found[1]
            helps[name] = found[2].strip()
        elif inside and name and line.startswith("     "):
            helps[name] += " " + line.strip()
    return {name: plain(text) for name, text in helps.items()}
