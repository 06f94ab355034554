"""The assignment of an activation to every site: what a search finds, and the small file that a user reuses."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from actsearch.activations import Requirement, from_spec, properties
from actsearch.activations.base import Activation
from actsearch.errors import PlacementError, RequirementError, UnknownNameError
from actsearch.placement.discover import find_sites
from actsearch.placement.site import FoundSite, Sites
from actsearch.placement.surgery import replace_sites

SCHEMA = 1
MAX_BYTES = 16_000_000
Model = TypeVar("Model", bound=nn.Module)
Scalar = bool | int | float | str | None


class SiteEntry(BaseModel):
    """What stands at one site."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    activation: Annotated[str, Field(min_length=1, max_length=512)]
    parameters: dict[str, Scalar | list[Scalar]] = {}
    learn: list[str] | None = None
    share: Literal["layer", "channel"] | None = None
    channels: Annotated[int, Field(ge=1)] | None = None
    channel_dim: int | None = None

    def build(self, channels: int | None = None, channel_dim: int = 1) -> Activation:
        """Build the activation; the arguments fill in where the file does not name channels."""
        spec = self.model_dump(exclude_none=True)
        if self.share == "channel" and self.channels is None:
            spec |= {"channels": channels, "channel_dim": channel_dim}
        return from_spec(spec)


class Placement(BaseModel):
    """The assignment of an activation to every site of a model.

    Args:
        sites: by site name, what stands there.
        initialisation: which gain the weights feeding each site were scaled by, where the search did so.
        found: where the placement comes from: study, task, metric, gain with its interval, versions.

    >>> Placement.load("best.json").apply(model)    # doctest: +SKIP
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    sites: dict[str, SiteEntry]
    initialisation: Literal["forward", "backward", "mean"] | None = None
    found: dict[str, Any] = {}

    @classmethod
    def uniform(cls, activation: str | Mapping[str, Any], sites: Iterable[FoundSite | str]) -> Self:
        """Return the placement that puts one activation at every site that is not protected."""
        entry = SiteEntry.model_validate({"activation": activation} if isinstance(activation, str) else dict(activation))
        names = [site if isinstance(site, str) else site.name for site in sites if isinstance(site, str) or not site.protected]
        return cls(sites=dict.fromkeys(names, entry))

    @classmethod
    def load(cls, source: str | os.PathLike[str]) -> Self:
        """Read a placement file, or ``runs:/<run id>/placement.json`` from MLflow.

        Raises:
            PlacementError: no such file, or not a placement; the message names the field.
        """
        path = _download(str(source)) if str(source).startswith("runs:/") else Path(source)
        try:
            if path.stat().st_size > MAX_BYTES:
                raise PlacementError(f"a placement file must be smaller than {MAX_BYTES} bytes, but {path} is not.")
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except ValidationError as error:
            raise PlacementError(f"{path} is not a placement file: {explain(error)}.") from None
        except (OSError, UnicodeDecodeError) as error:
            raise PlacementError(f"{path} cannot be read: {error}.") from None

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the placement file whole or not at all, and return its path."""
        return write_text(Path(path), self.dumps())

    def dumps(self) -> str:
        """Return the placement as the text of its file."""
        data: dict[str, Any] = {"schema": SCHEMA}
        data["sites"] = {name: entry.model_dump(exclude_none=True, exclude_defaults=True) for name, entry in self.sites.items()}
        if self.initialisation:
            data["initialisation"] = self.initialisation
        if self.found:
            data["found"] = self.found
        return json.dumps(data, indent=1, ensure_ascii=False) + "\n"

    def apply(self, model: Model, example_input: Any = None, *, force: bool = False) -> Model:
        """Put every activation at its site, in place, and return the model.

        Args:
            model: a fresh or trained model with these sites; its other parameters are left as they are.
            example_input: one input of the model; needed only where sites are functional calls that cannot be traced.
            force: place activations that a site's requirement refuses.

        Raises:
            PlacementError: a site that the model does not have.
            RequirementError: an activation without the properties that its site requires.
        """
        sites = find_sites(model, example_input)
        modules: dict[str, nn.Module] = {}
        for name, entry in self.sites.items():
            try:
                site = sites.named(name)
            except UnknownNameError as error:
                raise PlacementError(f"the placement does not fit {type(model).__name__}: {error}.") from None
            module = entry.build(site.channels or _channels_before(model, name), site.channel_dim)
            if site.requires and not force:
                check_requirement(name, entry, module, site)
            modules[name] = module
        replace_sites(model, modules, example_input)
        return model


def check_requirement(name: str, entry: SiteEntry, module: Activation, site: FoundSite) -> None:
    """Raise :class:`RequirementError` where an activation may not stand at a site."""
    refusal = Requirement(site.requires).refusal(properties(module))
    if refusal:
        raise RequirementError(f"{entry.activation} cannot stand at {name}: {refusal}. Pass force=True to place it anyway.")


def _channels_before(model: nn.Module, name: str) -> int | None:
    """Return the width of the last layer that stands before the site in the module tree."""
    width = None
    for other, module in model.named_modules():
        if other == name:
            break
        for attribute in ("out_features", "out_channels", "num_features"):
            width = getattr(module, attribute, width)
    return width


def _download(uri: str) -> Path:
    try:
        from mlflow.artifacts import download_artifacts  # only where asked for: MLflow stays out of training code
    except ImportError:
        raise PlacementError(f"{uri} must be read through MLflow, which is not installed. Pass a file instead.") from None
    try:
        return Path(download_artifacts(artifact_uri=uri, dst_path=tempfile.mkdtemp(prefix="actsearch-")))
    except Exception as error:
        raise PlacementError(f"{uri} cannot be read from MLflow: {error}.") from error


def explain(error: ValidationError) -> str:
    """Return pydantic's first complaint in one line, with the field that it is about."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    cause = first.get("ctx", {}).get("error")
    message = first["msg"] if cause is None else str(cause)
    return f"{where}: {message}" if where else message


def write_text(path: Path, text: str) -> Path:
    """Write a file so that a reader sees the old or the new one, whole: temporary, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def of(sites: Sites) -> Placement:
    """Return the placement of what stands there now, at every open site that has a catalogue name."""
    return Placement(sites={s.name: SiteEntry.model_validate(s.specification) for s in sites.open if s.specification})
