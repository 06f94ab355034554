"""From a name or an expression to a module; every family's file is found, none is listed."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, TypeVar

from actsearch.activations import families
from actsearch.activations.base import Activation, arguments_of
from actsearch.errors import InvalidValueError, UnknownNameError

_entries: dict[str, type[Activation]] = {}
Entry = TypeVar("Entry", bound=type[Activation])


def register(entry: Entry) -> Entry:
    """Add a class to the catalogue under its ``name``.

    Two classes of one name are a mistake, not a choice.
    """
    if entry.name in _entries:
        raise InvalidValueError(
            f"activation name {entry.name!r} must be unique, but {_entries[entry.name]} has it too."
        )
    _entries[entry.name] = entry
    return entry


@cache
def _import_families() -> None:
    for module in pkgutil.walk_packages(families.__path__, f"{families.__name__}."):
        importlib.import_module(module.name)


def catalogue() -> Mapping[str, type[Activation]]:
    """Return every activation of the catalogue by name, sorted."""
    _import_families()
    return MappingProxyType(dict(sorted(_entries.items())))


def canonical_name(text: str) -> str | None:
    """Return the catalogue's name for a name in another spelling, such as torch's.

    ``None`` where it has none of it.

    Case, underscores and the prefixes ``nn.`` and ``torch.nn.`` do not count; the rest must be the
    same.

    >>> canonical_name("nn.LeakyReLU"), canonical_name("hard_swish"), canonical_name("mul(x,x)")
    ('leaky_relu', 'hardswish', None)
    """
    if "(" in text:  # an expression, of which there may be thousands
        return None
    entries = catalogue()
    if text in entries:
        return text
    spellings = {_letters(name): name for name in entries}
    return spellings.get(_letters(text.lower().removeprefix("torch.nn.").removeprefix("nn.")))


def _letters(name: str) -> str:
    return name.lower().replace("_", "")


def family(entry: type[Activation]) -> str:
    """Return the family of an activation: the file or folder of ``families`` that it stands in.

    >>> family(catalogue()["relu"])
    'rectifiers'
    """
    return entry.__module__.removeprefix(f"{families.__name__}.").partition(".")[0]


def activation(name_or_expression: str, /, **parameters: Any) -> Activation:
    """Build an activation as a plain module.

    Args:
        name_or_expression: a name of the catalogue (``"swish"``), in torch's spelling too
            (``"nn.SiLU"``), or an expression in ``x`` (``"mul(sigmoid(x),x)"``).
        **parameters: its values by name, and ``learn``, ``share``, ``channels``, ``channel_dim`` as
            in :class:`Activation`.

    Raises:
        UnknownNameError: no such name; the message has the nearest.
        ExpressionError: an expression outside of the grammar; the message says where.
        InvalidValueError: a value outside of its constraint.

    >>> import torch
    >>> activation("leaky_relu", negative_slope=0.5)(torch.tensor([-2.0, 3.0]))
    tensor([-1.,  3.])
    """
    from actsearch.activations.expression.expression import Expression, is_expression

    if not isinstance(name_or_expression, str):
        raise InvalidValueError(
            f"an activation must be a name or an expression, but got {name_or_expression!r}."
        )
    name = canonical_name(name_or_expression)
    if name is not None:
        return catalogue()[name](**parameters)
    if is_expression(name_or_expression):
        return Expression(name_or_expression, **parameters)
    raise UnknownNameError.among(
        "activation", name_or_expression, catalogue(), "`actsearch activations` lists them."
    )


def from_spec(spec: Mapping[str, Any]) -> Activation:
    """Build an activation from :meth:`Activation.spec`."""
    return activation(spec["activation"], **arguments_of(spec))
