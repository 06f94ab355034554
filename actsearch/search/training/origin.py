"""Where a study's numbers come from: the code, the data and the libraries behind them."""

from __future__ import annotations

import ast
import hashlib
import inspect
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.data import TensorDataset

from actsearch.dotted import imported_from

MOST_SAMPLES = 16
"""How many samples of a data set are looked at where it gives them one by one."""

MOST_ELEMENTS = 1_000_000
"""Elements of a tensor above which some of its rows are left out."""

TOLERANCE = 1e-5
"""Difference of a figure of the data that another number of threads may make."""


@dataclass(frozen=True)
class Origin:
    """What a study's numbers come from, besides its options.

    Args:
        code: by module of the user, a hash of its source without comments and docstrings.
        data: by split, the number of samples and figures of them; empty where two looks differ.
        versions: of actsearch, torch and Lightning.
    """

    code: dict[str, str] = field(default_factory=dict)
    data: dict[str, list[float]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def differences(self, now: Origin) -> list[str]:
        """Return what is different now, each in some words; what one of them lacks is not known."""
        return [
            *_differing("code of ", self.code, now.code, "changed"),
            *(
                f"{split} data changed"
                for split, seen in self.data.items()
                if split in now.data and not _alike(seen, now.data[split])
            ),
            *_differing("", self.versions, now.versions),
        ]


def _differing(
    kind: str, then: Mapping[str, str], now: Mapping[str, str], told: str = ""
) -> Iterator[str]:
    for name in sorted(then.keys() | now.keys() if then and now else ()):
        if then.get(name) != now.get(name):
            yield f"{kind}{name} {told or f'{then.get(name)} then, {now.get(name)} now'}"


def _alike(a: list[float], b: list[float]) -> bool:
    return a[:1] == b[:1] and len(a) == len(b) and np.allclose(a, b, TOLERANCE, TOLERANCE)


def origin(things: Iterable[Any], loaders: Mapping[str, Any], seed: Callable[[], None]) -> Origin:
    """Return where the numbers of a training come from.

    Args:
        things: the classes and functions that are trained.
        loaders: of the data, by split.
        seed: seeds all random numbers, so that what is drawn can be drawn again.
    """
    given = [thing for thing in things if thing is not None]
    packages = {cls.__module__.partition(".")[0] for one in given for cls in _bases(one)}
    names = ["actsearch", "torch", *(packages & {"lightning", "pytorch_lightning"})]
    return Origin(
        code={name: found for thing in given for name, found in code_of(thing).items()},
        data={split: seen for split, one in loaders.items() if (seen := data_figures(one, seed))},
        versions={name: version(name).partition("+")[0] for name in names},
    )


def code_of(thing: Any) -> dict[str, str]:
    """Return hashes of the code behind a class or function, by the modules that are its user's own.

    These are its module and what that imports from the same folder or package, and so on. What a
    notebook or script defines has no file that another process could find; there it is what the
    functions were compiled to.
    """
    name = thing.__module__
    file = getattr(sys.modules.get(name), "__file__", None)
    if name == "__main__" or not file or not file.endswith(".py"):
        return {
            f"{name}.{thing.__qualname__}": _short(
                "".join(sorted(map(_compiled, _functions(thing))))
            )
        }
    top = name.partition(".")[0]
    package = getattr(sys.modules.get(top), "__path__", None)
    # Beside a module in site-packages stand those of others.
    depth = name.count(".") + (Path(file).name == "__init__.py")
    beside = None if "-packages" in file else Path(file).parents[depth]
    homes = {top: Path(package[0])} if package else {}
    found: dict[str, str] = {}
    left = [(name, Path(file))]
    while left:
        name, path = left.pop()
        tree = ast.parse(path.read_bytes())
        found[name] = _short(ast.unparse(_without_docstrings(tree)))
        inside = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for other in _imported(tree, inside):
            source = _source(other, homes, beside)
            if source is not None and other not in found and (other, source) not in left:
                left.append((other, source))
    return found


def _source(name: str, homes: Mapping[str, Path], beside: Path | None) -> Path | None:
    """Return the file of a module where it is one of the user's own."""
    top, *rest = name.split(".")
    home = homes.get(top) or (beside / top if beside else None)
    if home is None or top == "actsearch":
        return None
    path = home.joinpath(*rest)
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


def _imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Yield the names of modules that code may import, and of packages on the way.

    Args:
        tree: the code.
        package: that it stands in.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = imported_from(node, package)
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        for full in names:
            pieces = full.split(".")
            yield from (".".join(pieces[:end]) for end in range(1, len(pieces) + 1))


def _without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and (
            ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def _bases(thing: Any) -> tuple[Any, ...]:
    return thing.__mro__ if isinstance(thing, type) else (thing,)


def _functions(thing: Any) -> Iterator[CodeType]:
    """Yield the compiled functions of a class and of its bases in the same module, in order."""
    for owner in _bases(thing):
        if owner.__module__ != thing.__module__:
            continue
        values = vars(owner).values() if isinstance(owner, type) else [owner]
        for value in values:
            function = inspect.unwrap(getattr(value, "__func__", getattr(value, "fget", value)))
            if isinstance(code := getattr(function, "__code__", None), CodeType):
                yield code


def _compiled(code: CodeType) -> str:
    """Return what a function was compiled to, without where it stood."""
    constants = list(map(_constant, code.co_consts))
    return f"{code.co_name}{code.co_code.hex()}{code.co_names}{constants}"


def _constant(value: Any) -> str:
    if isinstance(value, CodeType):
        return _compiled(value)
    # The order of a set is another in each process.
    return str(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def data_figures(loader: Any, seed: Callable[[], None]) -> list[float]:
    """Return the number of samples and figures of some of them, the same for the same data.

    They are looked at twice: empty where they are drawn anew each time, or cannot be seen.
    """
    try:
        seed()
        first = _figures(loader)
        seed()
        return first if _alike(first, _figures(loader)) else []
    except Exception:  # whatever a user's own data raise here shows in the training, or nowhere
        return []


def _figures(loader: Any) -> list[float]:
    data: Any = getattr(loader, "dataset", None)
    if isinstance(data, TensorDataset):
        seen: Any = data.tensors
    elif hasattr(data, "__len__") and hasattr(data, "__getitem__"):
        seen = [data[int(i)] for i in np.linspace(0, len(data) - 1, min(MOST_SAMPLES, len(data)))]
    else:
        seen = next(iter(loader))
    count = len(data) if hasattr(data, "__len__") else 0
    return [float(count), *(value for leaf in tree_leaves(seen) for value in _moments(leaf))]


def _moments(leaf: Any) -> list[float]:
    """Return what another order or other values of the elements would change."""
    if isinstance(leaf, (str, bytes)):
        leaf = list(leaf.encode() if isinstance(leaf, str) else leaf)
    tensor = leaf.detach().cpu() if isinstance(leaf, Tensor) else torch.as_tensor(np.asarray(leaf))
    if tensor.ndim and tensor.numel() > MOST_ELEMENTS:
        tensor = tensor[:: tensor.numel() // MOST_ELEMENTS]
    values = tensor.to(torch.float64).nan_to_num().flatten()
    place = torch.arange(len(values), dtype=torch.float64).mul_(0.7).cos_()
    scale = math.sqrt(max(1, len(values)))
    return [float(len(values)), float(values.norm()) / scale, float(values @ place) / scale]
