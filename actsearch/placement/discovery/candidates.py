"""Every module or callable of a model that may be a site, before anything runs."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn
from typing_extensions import override

from actsearch.activations.base import Activation
from actsearch.placement.discovery.lookalike import (
    identify,
    is_activation_function,
    is_activation_module,
)
from actsearch.placement.discovery.torch_functions import (
    NORMALISED,
    PARAMETERS,
    TORCH_MODULES,
    called,
    describe,
    specification,
)
from actsearch.placement.replacement.dispatch import Switch
from actsearch.placement.site import Site


@dataclass(eq=False)
class SiteCandidate:
    """A module or a callable that may be a site.

    Args:
        path: where it stands in the model's module tree.
        module: the module; for a callable attribute one that calls it.
        kind: ``"site"``, ``"module"`` or ``"attribute"``.
        name: what stands there.
        specification: of what stands there, where it has one.
        requires: what an activation must have to stand there, as text.
        inplace: whether it overwrites its input.
        twins: all paths at which the same instance stands.
        site_name: the name of its site, where a placement has put it elsewhere.
    """

    path: str
    module: nn.Module
    kind: Literal["site", "module", "attribute"]
    name: str
    specification: dict[str, Any] = field(default_factory=dict)
    requires: str = ""
    inplace: bool = False
    twins: tuple[str, ...] = ()
    site_name: str = ""


class Held(nn.Module):
    """A callable attribute as a module, for the time of a trace."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function
        self.__name__ = getattr(function, "__name__", "activation")

    @override
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


def find_candidates(model: nn.Module) -> dict[str, SiteCandidate]:
    """Return what may be a site, by path, in the order of the module tree."""
    found: dict[str, SiteCandidate] = {}
    verdicts: dict[nn.Module, SiteCandidate | None] = {}
    inside: set[nn.Module] = set()
    paths: dict[nn.Module, list[str]] = {}
    for path, module in model.named_modules(remove_duplicate=False):
        if module in inside or path in found:  # found: an attribute of that name hides the module
            continue
        if module not in verdicts:
            verdicts[module] = _module_candidate(path, module) if path else None
            if verdicts[module] is not None:
                inside.update(child for child in module.modules() if child is not module)
            else:
                found |= {c.path: c for c in _attribute_candidates(path, module)}
        known = verdicts[module]
        if known is not None:
            paths.setdefault(module, []).append(path)
            found[path] = copy.copy(known)
            found[path].path = path
            found[path].site_name = _site_name(model, path)
    for candidate in found.values():
        candidate.twins = tuple(paths.get(candidate.module, ()))
    return found


def _site_name(model: nn.Module, path: str) -> str:
    """Return the site's name: the path, but for what a placement has put behind a switch."""
    parent, _, last = path.rpartition(".")
    if parent and isinstance(model.get_submodule(parent), Switch):
        return parent if last == "1" else f"{parent}@{last}"
    return path


def _module_candidate(path: str, module: nn.Module) -> SiteCandidate | None:
    if isinstance(module, Site):
        name, spec = describe(module.activation)
        return SiteCandidate(
            path, module, "site", name, spec, module.requires.text, inplace=module.inplace
        )
    if isinstance(module, Activation) or type(module) in TORCH_MODULES:
        name, spec = describe(module)
    elif is_activation_module(module):
        name, spec = identify(module, type(module).__name__)
    else:
        return None
    return SiteCandidate(
        path, module, "module", name, spec, inplace=bool(getattr(module, "inplace", False))
    )


def _attribute_candidates(path: str, module: nn.Module) -> Iterator[SiteCandidate]:
    for name, value in list(vars(module).items()):
        if name.startswith("_") or not callable(value) or isinstance(value, (type, nn.Module)):
            continue
        partial = value if isinstance(value, functools.partial) else functools.partial(value)
        what = called(partial.func, (None, *partial.args), partial.keywords)
        if what is not None and (what.name in PARAMETERS or what.name in NORMALISED):
            label, spec = what.name, specification(what.name, what.parameters)
        elif is_activation_function(name, value):
            label, spec = identify(value, getattr(partial.func, "__name__", name))
        else:
            continue
        where = f"{path}.{name}" if path else name
        inplace = what is not None and what.inplace
        yield SiteCandidate(
            where, Held(value), "attribute", label, spec, inplace=inplace, site_name=where
        )


def unshare(model: nn.Module, candidates: dict[str, SiteCandidate]) -> None:
    """Give every path its own module for the time of a trace.

    So a call says which path it went through. Shared instances are replaced by shallow copies that
    share their parameters, callables by modules that call them, and what works in place works out
    of place. The caller undoes it with ``preserved``.
    """
    seen: set[nn.Module] = set()
    for path, candidate in candidates.items():
        parent_path, _, name = path.rpartition(".")
        parent = model.get_submodule(parent_path)
        if candidate.kind == "attribute":
            setattr(parent, name, candidate.module)
        elif candidate.module in seen or candidate.inplace:
            twin = copy.copy(candidate.module)
            if candidate.inplace:
                vars(twin)["inplace"] = False
            candidate.module = twin
            vars(parent).pop(name, None)
            parent._modules[name] = twin
        seen.add(candidate.module)
