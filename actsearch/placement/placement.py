"""The assignment of an activation to every site: what a search finds and a user reuses."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import to_json
from torch import nn

from actsearch.activations.base import Activation
from actsearch.errors import (
    InvalidValueError,
    PlacementError,
    UnknownNameError,
)
from actsearch.placement.discovery.find import Discovery, discover
from actsearch.placement.discovery.naming import readings, renamed
from actsearch.placement.entry import SiteEntry as SiteEntry
from actsearch.placement.files import download, each_once, explain, read_text, write_text
from actsearch.placement.optimiser import optimizer_groups
from actsearch.placement.replacement.replace import ModuleT, refuse_compiled, replace_sites
from actsearch.placement.replacement.start import start_at
from actsearch.placement.shown import placement_lines, placement_table
from actsearch.placement.site import FoundSite
from actsearch.placement.warned import (
    check_requirement,
    refuse_unsynchronised,
    warn_of,
    warn_of_missing,
)

SCHEMA = 1
MAX_FILE_BYTES = 16_000_000


class Placement(BaseModel):
    """The assignment of an activation to every site of a model.

    Args:
        sites: by site name, what stands there.
        initialisation: which gain the weights feeding each site were scaled by, where the search
            did so.
        learning_rate_factor: factor on the learning rate that the placement was trained with,
            positive; see :meth:`optimizer_parameters`.
        found: where the placement comes from: study, task, metric, gain with its interval,
            versions.

    >>> placement = Placement.load("best.json"); placement.apply(model)    # doctest: +SKIP
    >>> groups = placement.optimizer_parameters(model, lr=1e-3)             # doctest: +SKIP
    >>> optimizer = torch.optim.AdamW(groups)                               # doctest: +SKIP
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    sites: dict[str, SiteEntry]
    initialisation: Literal["forward", "backward", "mean"] | None = None
    learning_rate_factor: Annotated[float, Field(gt=0)] = 1.0
    found: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _earlier_file(cls, data: Any) -> Any:
        """Take the factor from where earlier files have it."""
        found = data.get("found") if isinstance(data, Mapping) else None
        if not isinstance(found, Mapping) or "learning_rate_factor" not in found:
            return data
        rest = {key: value for key, value in found.items() if key != "learning_rate_factor"}
        return {"learning_rate_factor": found["learning_rate_factor"], **data, "found": rest}

    @classmethod
    def uniform(cls, activation: str | Mapping[str, Any], sites: Iterable[FoundSite | str]) -> Self:
        """Return the placement that puts one activation at every site that is not protected."""
        entry = SiteEntry.model_validate(
            {"activation": activation} if isinstance(activation, str) else dict(activation)
        )
        names = [
            site if isinstance(site, str) else site.name
            for site in sites
            if isinstance(site, str) or not site.protected
        ]
        return cls(sites=dict.fromkeys(names, entry))

    @classmethod
    def load(cls, source: str | os.PathLike[str]) -> Self:
        """Read a placement file, or ``runs:/<run id>/placement.json`` from MLflow.

        MLflow is where ``MLFLOW_TRACKING_URI`` points, else in ``mlruns``.

        Raises:
            PlacementError: no such file, or not a placement; the message names the field.
        """
        if str(source).startswith("runs:/"):
            with tempfile.TemporaryDirectory(prefix="actsearch-") as folder:
                return cls._read(download(str(source), folder))
        return cls._read(Path(source))

    @classmethod
    def _read(cls, path: Path) -> Self:
        try:
            text = read_text(path, MAX_FILE_BYTES)
        except (OSError, ValueError) as error:
            raise PlacementError(f"{path} cannot be read: {error}.") from None
        try:
            # What is not finite was never a value of a placement, and is left out of ``found``.
            data = json.loads(text, object_pairs_hook=each_once, parse_constant=lambda _: None)
            return cls.model_validate(data)
        except ValidationError as error:
            raise PlacementError(f"{path} is not a placement file: {explain(error)}.") from None
        except (ValueError, RecursionError) as error:
            raise PlacementError(f"{path} is not a placement file: {error}.") from None

    def __repr__(self) -> str:
        return "\n".join(placement_lines(self))

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return placement_table(self)

    def rename(self, names: Mapping[str, str]) -> Self:
        """Return the placement for a model whose parts have other names.

        Args:
            names: by a site's name, or by the beginning of some up to a dot, what it is now; the
                longest that fits a site counts.

        Raises:
            PlacementError: no site begins so, or two sites would have one name.

        >>> old = Placement.uniform("gelu", ["encoder.0.act", "encoder.2.act", "act"])
        >>> list(old.rename({"encoder": "backbone", "act": "head.act"}).sites)
        ['backbone.0.act', 'backbone.2.act', 'head.act']
        """
        return self.model_copy(update={"sites": renamed(self.sites, names)})

    def diff(self, other: Placement) -> dict[str, tuple[SiteEntry | None, SiteEntry | None]]:
        """Return by site what stands there here and in the other, where that differs.

        ``None`` stands for a site that is not there.

        >>> Placement.uniform("relu", ["1"]).diff(Placement.uniform("relu", ["1"]))
        {}
        """
        sites = dict.fromkeys([*self.sites, *other.sites])
        pairs = {site: (self.sites.get(site), other.sites.get(site)) for site in sites}
        return {site: pair for site, pair in pairs.items() if pair[0] != pair[1]}

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the placement file whole or not at all, and return its path."""
        return write_text(Path(path), self.dumps())

    def dumps(self) -> str:
        """Return the placement as the text of its file."""
        data: dict[str, Any] = {"schema": SCHEMA}
        data["sites"] = {
            name: entry.model_dump(exclude_none=True, exclude_defaults=True)
            for name, entry in self.sites.items()
        }
        if self.initialisation:
            data["initialisation"] = self.initialisation
        if self.learning_rate_factor != 1.0:
            data["learning_rate_factor"] = self.learning_rate_factor
        if self.found:
            data["found"] = self.found
        return to_json(data, indent=1, inf_nan_mode="null").decode() + "\n"

    def apply(
        self,
        model: ModuleT,
        example_input: Any = None,
        *,
        force: bool = False,
        strict: bool = True,
    ) -> ModuleT:
        """Put every activation at its site, in place, and return the model.

        A learned parameter that the placement gives no value starts at its published default; but
        where the activation can reproduce what stood at the site, it starts there: where their
        largest difference over [-6, 6] is at most 10⁻³, and the root mean square of the derivative
        by every such parameter over x ~ N(0, 1) is at least 10⁻³, so that training can move it.
        :func:`actsearch.placement.applied` tells which; :func:`actsearch.placement.restore` undoes
        it all.

        Build the optimiser afterwards, with :meth:`optimizer_parameters`: it has the new
        parameters, and the learning rate that the placement was trained with where
        :attr:`learning_rate_factor` is not 1.

        A warning (:class:`ActsearchWarning`) says where nothing is changed, and where the placement
        was not confirmed.

        Args:
            model: a fresh or trained model with these sites; its other parameters are left as they
                are. Apply before ``torch.compile``, and before DDP where activations learn. Where
                no name fits as it is, one prefix on all of them may differ, as between a wrapper
                (``model.1``) and what it wraps (``1``).
            example_input: one input of the model; needed only where sites are functional calls, or
                one instance called several times, in a model that :mod:`torch.fx` cannot trace.
            force: place activations that a site's requirement refuses.
            strict: where it is false, sites that the model does not have are left out with a
                warning, as long as it has one of them.

        Raises:
            PlacementError: a site that the model does not have, a compiled model, or names that fit
                several parts.
            RequirementError: an activation without the properties that its site requires.

        >>> placement = Placement.load("best.json"); placement.apply(model)    # doctest: +SKIP
        >>> groups = placement.optimizer_parameters(model, lr=1e-3)             # doctest: +SKIP
        >>> optimizer = torch.optim.AdamW(groups)                               # doctest: +SKIP
        """
        refuse_compiled(model)
        discovery = discover(model, example_input, include_gates=True, only=self.sites)
        modules: dict[str, Activation] = {}
        differences: dict[str, float | None] = {}
        for name, entry in self._entries(model, discovery, strict).items():
            site = discovery.sites.named(name)
            module = self._build(name, entry, site)
            if site.requires and not force:
                check_requirement(name, entry, module, site)
            free = [key for key in module.learn if key not in entry.parameters]
            current = discovery.places[name].function()
            if free and current is not None:
                module, differences[name] = start_at(module, current, free)
            modules[name] = module
        refuse_unsynchronised(model, modules)
        warn_of(self, model, modules, discovery)
        replace_sites(model, modules, discovery, differences)
        return model

    def optimizer_parameters(
        self, model: nn.Module, *, lr: float, groups: Iterable[Any] | None = None
    ) -> list[dict[str, Any]]:
        """Return the parameter groups to train the model with as the search did.

        They are for any optimiser of torch. Every learning rate is multiplied by
        :attr:`learning_rate_factor`; the learned parameters of activations have groups of their
        own, without weight decay.

        Args:
            model: the model that the placement was applied to.
            lr: learning rate, before the factor, of every group that has none of its own.
            groups: own groups, as an optimiser takes them, or own parameters; all of the model's
                where not given.

        ``LBFGS`` takes one group: give it ``model.parameters()`` and
        ``lr * placement.learning_rate_factor``.

        >>> groups = placement.optimizer_parameters(model, lr=1e-3)             # doctest: +SKIP
        >>> optimizer = torch.optim.AdamW(groups)                               # doctest: +SKIP
        """
        return optimizer_groups(model, lr=lr, groups=groups, overall=self.learning_rate_factor)

    def _entries(
        self, model: nn.Module, discovery: Discovery, strict: bool
    ) -> dict[str, SiteEntry]:
        """Return the entries by the model's own names of their sites."""
        known = [site.name for site in discovery.sites]
        ways = readings(self.sites, known)
        if not strict and not ways and (fitting := set(self.sites).intersection(known)):
            warn_of_missing(model, [name for name in self.sites if name not in fitting])
            return {name: entry for name, entry in self.sites.items() if name in fitting}
        if len(ways) > 1:
            where, _, part = next(iter(ways)).rpartition(" ")
            out = (
                f"Apply it to that part itself: placement.apply(model.{part[1:-1]})."
                if "part" in where
                else "Rename them."
            )
            raise PlacementError(
                f"the placement's sites must fit one way, but in {type(model).__name__} they fit"
                f" {', and '.join(ways)}. {out}"
            )
        for reading in ways.values():
            return {reading[name]: entry for name, entry in self.sites.items()}
        hint = (
            ""
            if discovery.sites.method != "modules"
            else " Pass an example_input to find functional calls."
        )
        try:
            return {discovery.sites.named(name).name: entry for name, entry in self.sites.items()}
        except UnknownNameError as error:
            raise PlacementError(
                f"the placement does not fit {type(model).__name__}: {error}.{hint}"
            ) from None

    def _build(self, name: str, entry: SiteEntry, site: FoundSite) -> Activation:
        if entry.channels is not None and site.channels not in (None, entry.channels):
            raise PlacementError(
                f"{name} has {site.channels} channels, but the placement has {entry.channels}."
                " Leave channels out to take the site's."
            )
        try:
            return entry.build(site.channels, site.channel_dim)
        except InvalidValueError as error:
            if entry.share == "channel" and site.channels is None and entry.channels is None:
                raise PlacementError(
                    f"{name} must have a known number of channels to share by channel, but got"
                    f" {site.channels!r}. Pass an example_input."
                ) from None
            raise PlacementError(f"{name}: {error}") from error
