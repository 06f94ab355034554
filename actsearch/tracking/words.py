"""Placements and sites in few words."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.trial import FrozenTrial

from actsearch.placement import Placement
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
    names = [entry.activation for entry in placement.sites.values()]
    if len(set(names)) == 1:
        return f"{names[0]} at all {len(names)} sites" if len(names) > 1 else names[0]
    return ", ".join(
        f"{label}: {name}" for label, name in zip(labels(list(placement.sites)), names, strict=True)
    )


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
