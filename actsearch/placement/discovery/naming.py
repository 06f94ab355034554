"""Where a site belongs: its block and its stage, by the module tree."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar

from torch import nn

from actsearch.errors import PlacementError, UnknownNameError

_Thing = TypeVar("_Thing")


def block_of(model: nn.Module, name: str) -> str:
    """Return the block of a site: the outermost numbered part with parts of its own.

    Else what holds the site.

    ``layer1.0.relu`` is in ``layer1.0``, ``encoder.layer.3.intermediate.act`` in
    ``encoder.layer.3``, and ``features.3`` of a flat sequence in ``features``. A numbered part with
    a class of its own counts before a plain sequence. Where nothing is numbered, the innermost part
    whose name ends in a digit counts (``features.denseblock1.denselayer2``).
    """
    parts = name.partition("@")[0].split(".")[:-1]
    modules = [model]
    for part in parts:
        child = modules[-1]._modules.get(part)
        if child is None:  # behind an attribute
            break
        modules.append(child)
    holders = [
        (i, type(m)) for i, m in enumerate(modules) if i and next(m.children(), None) is not None
    ]
    numbered = [(i, kind) for i, kind in holders if parts[i - 1].isdecimal()]
    own = [i for i, kind in numbered if kind not in (nn.Sequential, nn.ModuleList, nn.ModuleDict)]
    depth = next(iter(own), None) or next((i for i, _ in numbered), None)
    if depth is None:
        depth = next((i for i, _ in reversed(holders) if parts[i - 1][-1].isdecimal()), len(parts))
    return ".".join(parts[:depth])


def readings(names: Collection[str], known: Collection[str]) -> dict[str, dict[str, str]]:
    """Return every way to read names as known ones.

    As they are, else with one prefix added to or taken from all of them.
    A placement found in a wrapper so fits the bare model, and the reverse.

    >>> readings(["model.1", "model.3"], ["1", "3"])
    {"without 'model.'": {'model.1': '1', 'model.3': '3'}}
    >>> list(readings(["1"], ["actor.1", "critic.1"]))
    ["as part of 'actor'", "as part of 'critic'"]
    """
    known = set(known)
    if known.issuperset(names):
        return {"": {name: name for name in names}}
    first = next(iter(names))
    added = {name.removesuffix(first) for name in known if name.endswith(f".{first}")}
    taken = [first[: place + 1] for place, letter in enumerate(first) if letter == "."]
    ways = {
        f"as part of {prefix[:-1]!r}": {name: prefix + name for name in names}
        for prefix in sorted(added)
    }
    ways |= {
        f"without {prefix!r}": {name: name.removeprefix(prefix) for name in names}
        for prefix in taken
        if all(name.startswith(prefix) for name in names)
    }
    return {way: reading for way, reading in ways.items() if known.issuperset(reading.values())}


def renamed(sites: Mapping[str, _Thing], names: Mapping[str, str]) -> dict[str, _Thing]:
    """Return things by site under new names.

    Args:
        sites: things by site.
        names: by a site's name, or its beginning up to a dot, what it is now; the longest counts.

    Raises:
        PlacementError: no site begins so, or two sites would have one name.
    """
    found: dict[str, _Thing] = {}
    unused = set(names)
    for site, thing in sites.items():
        fitting = [
            name for name in names if site == name or site.startswith((f"{name}.", f"{name}@"))
        ]
        old = max(fitting, key=len, default="")
        new = names[old] + site.removeprefix(old) if fitting else site
        if new in found:
            raise PlacementError(
                f"each site must have a name of its own, but two would be {new!r}. Choose others."
            )
        found[new] = thing
        unused -= set(fitting)
    if unused:
        raise PlacementError(
            str(UnknownNameError.among("site to rename", min(unused), sites))
            + ". Name a site, or the beginning of some up to a dot."
        )
    return found


def stage_of(block: str) -> str:
    """Return the stage of a block: what holds the block.

    >>> stage_of("layer1.0"), stage_of("encoder.layer.3"), stage_of("features")
    ('layer1', 'encoder.layer', 'features')
    """
    holder, _, last = block.rpartition(".")
    return holder if holder and last[-1].isdecimal() else block
