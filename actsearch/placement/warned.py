"""What is said, or refused, when a placement is applied."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from actsearch.activations import Requirement, properties
from actsearch.activations.base import Activation
from actsearch.errors import MOST_SHOWN, ActsearchWarning, PlacementError, RequirementError
from actsearch.placement.discovery.find import Discovery
from actsearch.placement.entry import SiteEntry
from actsearch.placement.site import FoundSite

if TYPE_CHECKING:
    from actsearch.placement.placement import Placement


def warn_of(
    placement: Placement, model: nn.Module, modules: Mapping[str, Activation], discovery: Discovery
) -> None:
    """Say where nothing is changed, and where the placement was not confirmed."""
    if not modules:
        why = "the placement has no sites. `find_sites(model)` tells which are open"
        warnings.warn(
            f"nothing of {type(model).__name__} was changed: {why}.",
            ActsearchWarning,
            stacklevel=3,
        )
    elif all(discovery.places[name].holds(module) for name, module in modules.items()):
        names = ", ".join(dict.fromkeys(module.name for module in modules.values()))
        why = f"every site of the placement has its activation already ({names})"
        warnings.warn(
            f"nothing of {type(model).__name__} was changed: {why}.",
            ActsearchWarning,
            stacklevel=3,
        )
    if "significant" in placement.found and not placement.found["significant"]:
        warnings.warn(_unconfirmed(placement.found), ActsearchWarning, stacklevel=3)


def warn_of_missing(model: nn.Module, names: Sequence[str]) -> None:
    """Say which sites of a placement a model does not have."""
    shown = ", ".join(names[:MOST_SHOWN]) + (", ..." if len(names) > MOST_SHOWN else "")
    warnings.warn(
        f"{len(names)} of the placement's sites are left out, since {type(model).__name__} does not"
        f" have them: {shown}.",
        ActsearchWarning,
        stacklevel=4,
    )


def _unconfirmed(found: Mapping[str, Any]) -> str:
    """Return what to say of a candidate that no confirmation found better.

    Any of the details may be missing.
    """
    study, metric, gain, interval = (
        found.get(key) for key in ("study", "metric", "gain", "interval")
    )
    details = [f"study {study!r}"] if study else []
    if isinstance(gain, (int, float)):
        details.append(f"{metric or 'gain'} {gain:+.4g}")
    if isinstance(interval, list) and all(isinstance(end, (int, float)) for end in interval):
        details.append(f"95 % interval [{', '.join(f'{end:+.4g}' for end in interval)}]")
    known = f" ({', '.join(details)})" if details else ""
    return (
        f"this placement was not confirmed as better than what the model has{known}. "
        f"Keep what you have, or confirm it: actsearch confirm {study or '<study>'}"
    )


def refuse_unsynchronised(model: nn.Module, modules: Mapping[str, nn.Module]) -> None:
    """Raise where a wrapped model would not synchronise what an activation learns."""
    if isinstance(model, nn.parallel.DistributedDataParallel) and any(
        next(m.parameters(), None) is not None for m in modules.values()
    ):
        raise PlacementError(
            "a placement that learns must be applied before DistributedDataParallel, but got a"
            " wrapped model. Apply it to the model first, then wrap."
        )


def check_requirement(name: str, entry: SiteEntry, module: Activation, site: FoundSite) -> None:
    """Raise :class:`RequirementError` where an activation may not stand at a site."""
    refusal = Requirement(site.requires).refusal(properties(module))
    if refusal:
        raise RequirementError(
            f"{entry.activation} cannot stand at {name}: {refusal}. Pass force=True to place it"
            " anyway."
        )
