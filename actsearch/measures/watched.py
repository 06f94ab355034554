"""A copy of a model in which every site is a module that can be watched."""

from __future__ import annotations

import copy
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from actsearch.activations import Properties, from_spec, properties
from actsearch.activations.base import Activation
from actsearch.measures.functional.site_runs import slope_at
from actsearch.placement import FoundSite, Site, applied
from actsearch.placement.discovery.find import discover
from actsearch.placement.discovery.place import Place
from actsearch.placement.replacement.replace import replace_sites

_SKELETON = ("_modules", "_parameters", "_buffers")


@dataclass(frozen=True)
class WatchedSite:
    """A site of which it is known where a module stands.

    Args:
        site: what is known of it.
        function: what stands there.
    """

    site: FoundSite
    function: Callable[[Tensor], Tensor]

    @property
    def properties(self) -> Properties | None:
        """The facts of what stands there; ``None`` where the catalogue does not know it."""
        if isinstance(self.function, Activation):
            return properties(self.function)
        return properties(from_spec(self.site.specification)) if self.site.specification else None


@dataclass(frozen=True)
class FittedSite:
    """A site of a trained module, with the values that it sees.

    Args:
        name: of the site, as :func:`actsearch.find_sites` gives it.
        activation: what stands there: a catalogue name, or the name of the class or function.
        properties: the facts of that; ``None`` where the catalogue does not know it.
        inputs: what enters it in each of its runs, of one batch: in a recurrent network at each
            step.
        function: what stands there, as a function of one tensor.
    """

    name: str
    activation: str
    properties: Properties | None
    inputs: tuple[Tensor, ...]
    function: Callable[[Tensor], Tensor]

    @torch.no_grad()
    def outputs(self) -> list[Tensor]:
        """Return what leaves it in each run."""
        return [self.function(z.clone()) for z in self.inputs]

    def derivatives(self) -> list[Tensor]:
        """Return the derivative at each input of each run."""
        return [slope_at(self.function, z) for z in self.inputs]


class _Calling(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def watched(model: nn.Module, example: Any) -> tuple[nn.Module, dict[str, WatchedSite]]:
    """Return a copy that shares weights and data with the model, and its sites by path.

    A function that forward calls becomes a module in the copy, and so does each call of a module
    that forward calls several times. Sites that cannot be evaluated alone are left out.

    Args:
        model: the model; it stays as it is.
        example: one input of it, or ``None``.
    """
    shell = sharing_copy(model)
    discovery = discover(shell, example)
    places = [discovery.places[site.name] for site in discovery.sites.open]
    calls = Counter((place.owner, place.key) for place in places)
    found: dict[str, WatchedSite] = {}
    made: dict[str, nn.Module] = {}
    for place in places:
        standing = place.module.activation if isinstance(place.module, Site) else place.module
        function = standing if isinstance(standing, Activation) else place.function()
        if function is None:
            continue
        found[place.site.name] = WatchedSite(place.site, function)
        if place.functional or function is not standing or calls[place.owner, place.key] > 1:
            made[place.site.name] = _Calling(function)
    replace_sites(shell, made, discovery)
    paths = {done.site: done.path for done in applied(shell)}
    for name in found.keys() - made.keys():
        paths[name] = _path(discovery.places[name])
    return shell, {paths[name]: site for name, site in found.items()}


def sharing_copy(model: nn.Module) -> nn.Module:
    """Return a copy of the modules alone: parameters, buffers and all other values are shared.

    So it costs no memory, whatever data a module holds.
    """
    memo: dict[int, Any] = {}
    for part in model.modules():
        for tensor in itertools.chain(part._parameters.values(), part._buffers.values()):
            memo[id(tensor)] = tensor
        for key, value in vars(part).items():
            own = key in _SKELETON or key.startswith("_actsearch") or "_hooks" in key
            if not own and not isinstance(value, nn.Module):
                memo[id(value)] = value
    shell = copy.deepcopy(model, memo)
    for part, same in zip(model.modules(), shell.modules(), strict=True):
        if "_trainer" in vars(part):  # Lightning leaves it out of a copy; a loss may ask for it
            vars(same)["_trainer"] = vars(part)["_trainer"]
    return shell


@contextmanager
def noting(model: nn.Module, paths: Iterable[str], seen: dict[str, list[Tensor]]) -> Iterator[None]:
    """Note by path what modules take in at each run, in the order of their last runs.

    Args:
        model: the model that runs.
        paths: the modules in it that are watched.
        seen: what is filled.
    """

    def hook(path: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def note(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            seen[path] = [*seen.pop(path, ()), inputs[0].detach().clone()]

        return note

    handles = [model.get_submodule(p).register_forward_pre_hook(hook(p)) for p in paths]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _path(place: Place) -> str:
    return f"{place.key}.activation" if isinstance(place.module, Site) else place.key
