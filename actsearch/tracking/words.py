"""Placements and sites in few words."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.trial import FrozenTrial

from actsearch.placement import Placement, SiteEntry
from actsearch.search.study.record import StudyRun


def short(run: StudyRun, trial: FrozenTrial) -> str:
    """Return a placement in few words: equal sites joined, its learning rate where not the own."""
    factor = run.factor(trial)
    return _short(run.placement(trial)) + (
        "" if factor == 1.0 else f"; learning rate × {factor:.3g}"
    )


def _short(placement: Placement | None) -> str:
    if placement is None:
        return "the model's own"
    names = [name_of(entry) for entry in placement.sites.values()]
    if len(set(names)) == 1:
        return f"{names[0]} at all {len(names)} sites" if len(names) > 1 else names[0]
    return ", ".join(
        f"{label}: {name}" for label, name in zip(labels(list(placement.sites)), names, strict=True)
    )


def name_of(entry: SiteEntry) -> str:
    """Return an activation with the parameters that it was given.

    >>> name_of(SiteEntry(activation="clipped_relu", parameters={"ceiling": 6.0}))
    'clipped_relu(ceiling=6)'
    """
    shown = ", ".join(f"{key}={value}" for key, value in given(entry).items())
    return f"{entry.activation}({shown})" if shown else entry.activation


def given(entry: SiteEntry) -> dict[str, str]:
    """Return the parameters that an activation was given, as text."""
    return {
        key: f"{value:.3g}" if isinstance(value, float) else str(value)
        for key, value in entry.parameters.items()
    }


def labels(sites: Sequence[str]) -> list[str]:
    """Return site names without the parts that all of them begin or end with.

    >>> labels(["network.layer_1.activation", "network.layer_2.activation"])
    ['layer_1', 'layer_2']
    """
    parts = [site.split(".") for site in sites]
    while len(parts) > 1 and all(len(p) > 1 for p in parts) and len({p[0] for p in parts}) == 1:
        parts = [p[1:] for p in parts]
    while len(parts) > 1 and all(len(p) > 1 for p in parts) and len({p[-1] for p in parts}) == 1:
        parts = [p[:-1] for p in parts]
    return [".".join(p) for p in parts]


def own(run: StudyRun) -> str:
    """Return the names of the model's own activations."""
    names = dict.fromkeys(site.activation for site in run.model_info.found.open)
    return " and ".join(names) if len(names) <= 2 else "own activations"


def places(sites: Sequence[str], most: int = 36) -> str:
    """Return site names in at most about so many characters.

    >>> places(["layer_1", "layer_2", "layer_3"], 10)
    'layer_1 and 2 more'
    """
    whole = ", ".join(sites)
    return whole if len(whole) <= most else f"{sites[0]} and {len(sites) - 1} more"
