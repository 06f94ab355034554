"""Placements and sites in few words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from optuna.trial import FrozenTrial

from actsearch.placement import Placement
from actsearch.search.study.record import StudyRun

NAMED_EACH = 6
"""Sites that are named one by one."""


def short(run: StudyRun, trial: FrozenTrial) -> str:
    """Return a placement in few words: equal sites joined, its learning rate where not the own."""
    factor = run.factor(trial)
    return placed(run.placement(trial)) + (
        "" if factor == 1.0 else f"; learning rate × {factor:.3g}"
    )


def placed(placement: Placement | None) -> str:
    """Return what stands where: sites of the same joined where there are many.

    >>> from actsearch.placement import SiteEntry
    >>> relu, tanh = SiteEntry(activation="relu"), SiteEntry(activation="tanh")
    >>> placed(Placement(sites={"net.0": relu, "net.2": tanh}))
    '0: relu, 2: tanh'
    >>> placed(Placement(sites={"1": tanh, **{f"{n}": relu for n in range(2, 30)}}))
    'tanh at 1, relu at 28 sites'
    """
    if placement is None:
        return "the model's own"
    where: dict[str, list[str]] = defaultdict(list)
    short = dict(zip(placement.sites, labels(list(placement.sites)), strict=True))
    for site, entry in placement.sites.items():
        where[str(entry)].append(short[site])
    if len(where) == 1:
        (name,) = where
        return f"{name} at all {len(short)} sites" if len(short) > 1 else name
    if len(short) <= NAMED_EACH:
        return ", ".join(f"{short[site]}: {entry}" for site, entry in placement.sites.items())
    return ", ".join(
        f"{name} at {', '.join(sites) if len(sites) <= NAMED_EACH else f'{len(sites)} sites'}"
        for name, sites in where.items()
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


def places(sites: Sequence[str], most: int = 36) -> str:
    """Return site names in at most about so many characters.

    >>> places(["layer_1", "layer_2", "layer_3"], 10)
    'layer_1 and 2 more'
    """
    whole = ", ".join(sites)
    return whole if len(whole) <= most else f"{sites[0]} and {len(sites) - 1} more"
