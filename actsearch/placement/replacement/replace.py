"""Put modules at sites of a model, touching nothing else, and take them out again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from torch import nn

from actsearch.errors import PlacementError
from actsearch.placement.discovery.find import Discovery
from actsearch.placement.discovery.place import Place
from actsearch.placement.replacement.dispatch import (
    Route,
    Switch,
    redirect,
    shield,
    unredirect,
    unshield,
)
from actsearch.placement.site import Site
from actsearch.placement.torch_internals import is_compiled, unwrap

ModuleT = TypeVar("ModuleT", bound=nn.Module)
_ABSENT = "absent"
_FUSED_CODE = {"relu": 1, "gelu": 2}  # what torch's fused transformer layer can run itself


@dataclass
class Applied:
    """What was done at one site.

    Args:
        site: its name, ``was`` and ``now``: what stood and stands there.
        path: where the module that stands there now is, for :meth:`torch.nn.Module.get_submodule`.
        difference: largest difference from what stood there, over [-6, 6], where learned parameters
            start at it; ``None`` where they start at given values or at their published defaults.
    """

    site: str
    was: str
    now: str
    path: str
    difference: float | None = None


@dataclass
class _Record:
    """What stood where before, so that it can be put back.

    Kept in the model, so that a copy has its own.

    Args:
        attributes: by path and name, the submodule and the plain value.
        owners: paths of the modules whose calls are redirected.
        applied: by site, what was done.
    """

    attributes: dict[tuple[str, str], tuple[Any, Any]] = field(default_factory=dict)
    owners: list[str] = field(default_factory=list)
    applied: dict[str, Applied] = field(default_factory=dict)


def replace_sites(
    model: nn.Module,
    modules: Mapping[str, nn.Module],
    discovery: Discovery,
    differences: Mapping[str, float | None] | None = None,
) -> None:
    """Put each module at the site of that name, in place.

    Args:
        model: the model that the discovery was made on.
        modules: by site name, what shall stand there.
        discovery: the sites and their places.
        differences: by site name, how far a module started at what stood there is from it, for the
            record.

    Raises:
        PlacementError: the model is compiled, so what it runs would not change.
    """
    refuse_compiled(model)
    model = unwrap(model)
    record: _Record = vars(model).setdefault("_actsearch", _Record())
    groups: dict[tuple[str, str, bool], dict[int, str]] = {}
    for name in modules:
        place = discovery.places[name]
        groups.setdefault((place.owner, place.key, place.functional), {})[place.index] = name
    like = next((p for p in model.parameters() if p.is_floating_point()), None)
    for module in modules.values():
        if like is not None:
            module.to(device=like.device, dtype=like.dtype)
    replacer = _Replacer(model, record, discovery)
    for (owner, key, functional), names in groups.items():
        chosen = {index: modules[name] for index, name in names.items()}
        replace = replacer.function if functional else replacer.module
        paths = replace(owner, key, chosen)
        for index, name in names.items():
            earlier = record.applied.get(name)
            was = earlier.was if earlier else discovery.places[name].site.activation
            difference = (differences or {}).get(name)
            record.applied[name] = Applied(
                name, was, _name_of(modules[name]), paths[index], difference
            )
    replacer.close()


def _name_of(module: nn.Module) -> str:
    return str(getattr(module, "name", type(module).__name__))


def refuse_compiled(model: nn.Module) -> None:
    """Raise where a change would not reach what runs."""
    if is_compiled(model):
        raise PlacementError(
            "a placement must be applied before torch.compile, but got a compiled"
            f" {type(unwrap(model)).__name__}. Apply it to the model first, then compile."
        )


class _Replacer:
    """Put modules at the sites of one owner and key at a time, and record what stood there."""

    def __init__(self, model: nn.Module, record: _Record, discovery: Discovery) -> None:
        self.model = model
        self.record = record
        self.discovery = discovery

    def module(self, owner: str, key: str, chosen: dict[int, nn.Module]) -> dict[int, str]:
        """Replace what stands under a path, for all of its calls or some.

        Returns:
            by index of the site, where each module is now.
        """
        parent_path, _, name = key.rpartition(".")
        current = getattr(self.model.get_submodule(parent_path), name)
        if isinstance(current, Site):
            return self._inside_site(current, key, chosen[0])
        if isinstance(current, Switch):
            return self._inside_switch(current, key, chosen)
        places = self._places(owner, key, functional=False)
        if len(places) == 1:
            return self._single(key, places[0], chosen[0])
        return self._several(owner, key, places, chosen)

    def _inside_site(self, site: Site, key: str, chosen: nn.Module) -> dict[int, str]:
        self._keep(site, key, "activation")
        site.activation = chosen.train(site.training)
        return {0: f"{key}.activation"}

    def _inside_switch(
        self, switch: Switch, key: str, chosen: dict[int, nn.Module]
    ) -> dict[int, str]:
        for index, module in chosen.items():
            switch._modules[str(index + 1)] = module.train(switch.training)
        return {index: f"{key}.{index + 1}" for index in chosen}

    def _single(self, key: str, place: Place, chosen: nn.Module) -> dict[int, str]:
        """Replace what is called at one site alone."""
        self._set(key, _writing_back(chosen) if place.write_back else chosen)
        self._unfuse(key.rpartition(".")[0], chosen)
        return {0: f"{key}.activation" if place.write_back else key}

    def _several(
        self, owner: str, key: str, places: dict[int, Place], chosen: dict[int, nn.Module]
    ) -> dict[int, str]:
        """Replace what its owner calls at several sites by a switch between them."""
        original = places[0].module
        assert original is not None  # what is called at several sites is a module, or held as one
        members, paths = [], {}
        for index in range(len(places)):
            module = chosen.get(index, original)
            back = index in chosen and places[index].write_back
            members.append(_writing_back(module) if back else module)
            if index in chosen:
                paths[index] = f"{key}.{index + 1}" + (".activation" if back else "")
        relative = key.removeprefix(f"{owner}.") if owner else key
        self._set(key, Switch(relative, self.discovery.sequences[owner, key], members))
        self._redirect(owner, {})
        return paths

    def function(self, owner: str, key: str, chosen: dict[int, nn.Module]) -> dict[int, str]:
        """Redirect calls of a function, and return where each module is now."""
        module = self.model.get_submodule(owner)
        sequence = self.discovery.sequences[owner, key]
        count = max(sequence) + 1
        earlier: Route | None = vars(module).get("_actsearch_routes", {}).get(key)
        names: list[str | None] = list(earlier.sites) if earlier else [None] * count
        back = list(earlier.write_back) if earlier else [False] * count
        paths = {}
        for index, place in self._places(owner, key, functional=True).items():
            if index not in chosen:
                continue
            path = place.site.name
            name = path.removeprefix(f"{owner}.") if owner else path
            self._keep(module, owner, name)
            module._modules[name] = chosen[index].train(module.training)
            if names[index] is None:
                back[index] = place.write_back
            names[index] = name
            paths[index] = path
        self._redirect(owner, {key: Route(sequence, tuple(names), tuple(back))})
        return paths

    def _places(self, owner: str, key: str, functional: bool) -> dict[int, Place]:
        """Return every site of an owner and key, by index."""
        return {
            place.index: place
            for place in self.discovery.places.values()
            if (place.owner, place.key, place.functional) == (owner, key, functional)
        }

    def close(self) -> None:
        """Shield what is called below redirected owners, once everything stands."""
        for path in self.record.owners:
            owner = self.model.get_submodule(path)
            if vars(owner).get("_actsearch_routes"):
                shield(owner)

    def _redirect(self, path: str, routes: Mapping[str, Route]) -> None:
        owner = self.model.get_submodule(path)
        if "forward" in vars(owner):
            raise PlacementError(
                f"the forward of {path or type(owner).__name__} must be its class's own, but got"
                " one set on it. Apply the placement before wrapping it."
            )
        redirect(owner, {**vars(owner).get("_actsearch_routes", {}), **routes})
        if path not in self.record.owners:
            self.record.owners.append(path)

    def _keep(self, owner: nn.Module, path: str, name: str) -> None:
        value = (owner._modules.get(name, _ABSENT), vars(owner).get(name, _ABSENT))
        self.record.attributes.setdefault((path, name), value)

    def _set(self, key: str, module: nn.Module) -> None:
        parent_path, _, name = key.rpartition(".")
        parent = self.model.get_submodule(parent_path)
        self._keep(parent, parent_path, name)
        vars(parent).pop(name, None)
        parent._modules[name] = module.train(parent.training)
        if isinstance(parent, nn.TransformerDecoderLayer):
            # Its __setstate__ puts back F.relu where it lacks the attribute.
            vars(parent)[name] = module

    def _unfuse(self, path: str, module: nn.Module) -> None:
        """Keep torch's fused transformer layer from passing by what stands in it now."""
        layer = self.model.get_submodule(path)
        if not isinstance(layer, nn.TransformerEncoderLayer):
            return
        self._keep(layer, path, "activation_relu_or_gelu")
        layer.activation_relu_or_gelu = _fused_code(module)
        if layer.activation_relu_or_gelu:
            return
        for encoder_path, encoder in self.model.named_modules():
            if isinstance(encoder, nn.TransformerEncoder) and layer in list(encoder.layers):
                self._keep(encoder, encoder_path, "use_nested_tensor")
                encoder.use_nested_tensor = False


def _fused_code(module: nn.Module) -> int:
    """Return the number by which torch's fused layer knows an activation; 0 for any other."""
    learns = any(True for _ in module.parameters())
    if learns or getattr(module, "values", {}).get("approximate") == "tanh":
        return 0
    return _FUSED_CODE.get(_name_of(module), 0)


def _writing_back(module: nn.Module) -> Site:
    site = Site(module)
    site.inplace = True
    return site


def restore(model: ModuleT) -> ModuleT:
    """Put back what stood at every site before placements were applied, and return the model.

    In place.

    Parameters that stood there come back as they were; those of the activations taken out are gone.
    A model that no placement was applied to is left as it is.
    """
    inner = unwrap(model)
    record: _Record | None = vars(inner).pop("_actsearch", None)
    if record is None:
        return model
    unshield(inner)
    for path in record.owners:
        unredirect(inner.get_submodule(path))
    for (path, name), values in reversed(record.attributes.items()):
        owner = inner.get_submodule(path)
        for members, value in ((owner._modules, values[0]), (vars(owner), values[1])):
            if isinstance(value, str) and value == _ABSENT:
                members.pop(name, None)
            else:  # in its old position: a sequence runs in the order of its members
                members[name] = value
    return model


def applied(model: nn.Module) -> list[Applied]:
    """Return what placements have put at which site of a model, in the order of application."""
    record: _Record | None = vars(unwrap(model)).get("_actsearch")
    return list(record.applied.values()) if record else []
