"""Put modules at sites of a model, touching nothing else, and take them out again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from torch import nn

from actsearch.errors import PlacementError
from actsearch.placement.discovery.find import Discovery
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

Model = TypeVar("Model", bound=nn.Module)
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
    """

    attributes: dict[tuple[str, str], tuple[Any, Any]] = field(
        default_factory=dict
    )  # submodule and plain value
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
    surgeon = _Surgeon(model, record, discovery)
    for (owner, key, functional), names in groups.items():
        chosen = {index: modules[name] for index, name in names.items()}
        paths = (
            surgeon.function(owner, key, chosen)
            if functional
            else surgeon.module(owner, key, chosen)
        )
        for index, name in names.items():
            was = (
                record.applied[name].was
                if name in record.applied
                else discovery.places[name].site.activation
            )
            difference = (differences or {}).get(name)
            record.applied[name] = Applied(
                name, was, _label(modules[name]), paths[index], difference
            )
    surgeon.close()


def _label(module: nn.Module) -> str:
    return str(getattr(module, "name", type(module).__name__))


def refuse_compiled(model: nn.Module) -> None:
    """Raise where a change would not reach what runs."""
    if is_compiled(model):
        raise PlacementError(
            "a placement must be applied before torch.compile, but got a compiled"
            f" {type(unwrap(model)).__name__}. Apply it to the model first, then compile."
        )


class _Surgeon:
    def __init__(self, model: nn.Module, record: _Record, discovery: Discovery) -> None:
        self.model = model
        self.record = record
        self.discovery = discovery
        self.redirected: set[str] = set()

    def module(self, owner: str, key: str, chosen: dict[int, nn.Module]) -> dict[int, str]:
        """Replace what stands under a path, for all of its calls or some, and return where each module is now."""
        parent_path, _, name = key.rpartition(".")
        parent = self.model.get_submodule(parent_path)
        standing = getattr(parent, name)
        places = [
            p
            for p in self.discovery.places.values()
            if (p.owner, p.key, p.functional) == (owner, key, False)
        ]
        count = len(places)
        if isinstance(standing, Site):
            self._keep(standing, key, "activation")
            standing.activation = chosen[0].train(standing.training)
            return {0: f"{key}.activation"}
        if isinstance(standing, Switch):
            for index, module in chosen.items():
                standing._modules[str(index + 1)] = module.train(standing.training)
            return {index: f"{key}.{index + 1}" for index in chosen}
        self._keep(parent, parent_path, name)
        if count == 1:
            place = places[0]
            self._set(parent, name, _writing_back(chosen[0]) if place.write_back else chosen[0])
            self._unfuse(parent, parent_path, chosen[0])
            return {0: f"{key}.activation" if place.write_back else key}
        by_index = {place.index: place for place in places}
        original = standing if isinstance(standing, nn.Module) else by_index[0].module
        assert (
            original is not None
        )  # what is called at several places is a module, or was held as one
        members = [
            (
                (_writing_back(chosen[i]) if by_index[i].write_back else chosen[i])
                if i in chosen
                else original
            )
            for i in range(count)
        ]
        relative = key.removeprefix(f"{owner}.") if owner else key
        self._set(parent, name, Switch(relative, self.discovery.sequences[owner, key], members))
        self._redirect(owner, {})
        return {
            i: f"{key}.{i + 1}" + (".activation" if by_index[i].write_back else "") for i in chosen
        }

    def function(self, owner: str, key: str, chosen: dict[int, nn.Module]) -> dict[int, str]:
        """Redirect calls of a function, and return where each module is now."""
        module = self.model.get_submodule(owner)
        places = [
            p
            for p in self.discovery.places.values()
            if (p.owner, p.key, p.functional) == (owner, key, True)
        ]
        sequence = self.discovery.sequences[owner, key]
        count = max(sequence) + 1
        earlier: Route | None = vars(module).get("_actsearch_routes", {}).get(key)
        names: list[str | None] = list(earlier.sites) if earlier else [None] * count
        back = list(earlier.write_back) if earlier else [False] * count
        paths = {}
        for place in places:
            if place.index in chosen:
                name = place.site.name.removeprefix(f"{owner}.") if owner else place.site.name
                self._keep(module, owner, name)
                module._modules[name] = chosen[place.index].train(module.training)
                names[place.index] = name
                if earlier is None or earlier.sites[place.index] is None:
                    back[place.index] = place.write_back
                paths[place.index] = f"{owner}.{name}" if owner else name
        self._redirect(owner, {key: Route(sequence, tuple(names), tuple(back))})
        return paths

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

    def _set(self, parent: nn.Module, name: str, module: nn.Module) -> None:
        vars(parent).pop(name, None)
        parent._modules[name] = module.train(parent.training)
        if isinstance(
            parent, nn.TransformerDecoderLayer
        ):  # its __setstate__ puts back F.relu where the attribute lacks
            vars(parent)[name] = module

    def _unfuse(self, layer: nn.Module, path: str, module: nn.Module) -> None:
        """Keep torch's fused transformer layer from passing by what stands there now."""
        if not isinstance(layer, nn.TransformerEncoderLayer):
            return
        fixed = not any(True for _ in module.parameters())
        code = (
            _FUSED_CODE.get(_label(module), 0)
            if fixed and getattr(module, "values", {}).get("approximate") != "tanh"
            else 0
        )
        self._keep(layer, path, "activation_relu_or_gelu")
        layer.activation_relu_or_gelu = code
        if code:
            return
        for other_path, encoder in self.model.named_modules():
            if isinstance(encoder, nn.TransformerEncoder) and any(
                each is layer for each in encoder.layers
            ):
                self._keep(encoder, other_path, "use_nested_tensor")
                encoder.use_nested_tensor = False


def _writing_back(module: nn.Module) -> Site:
    site = Site(module)
    site.inplace = True
    return site


def restore(model: Model) -> Model:
    """Put back what stood at every site before placements were applied, in place, and return the model.

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
            else:
                members[name] = (
                    value  # in its old position: a sequence runs in the order of its members
                )
    return model


def applied(model: nn.Module) -> list[Applied]:
    """Return what placements have put at which site of a model, in the order they were applied."""
    record: _Record | None = vars(unwrap(model)).get("_actsearch")
    return list(record.applied.values()) if record else []
