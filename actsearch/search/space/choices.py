"""From a search space and a model's sites to the decisions of a study, and from one trial's answers to a placement."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from actsearch.activations import Requirement, activation, properties
from actsearch.errors import SearchSpaceError
from actsearch.placement import FoundSite, Placement, SiteEntry, Sites
from actsearch.search.space.search_space import (
    Candidate,
    Choices,
    Learn,
    Range,
    SearchSpace,
    SiteRule,
)


class Suggests(Protocol):
    """The part of an Optuna trial that a search space asks."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Suggest one of the choices."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Suggest a number."""


@dataclass(frozen=True)
class Decision:
    """One choice of an activation, and the sites that it holds for.

    Args:
        name: name of the Optuna parameter: a site, a block, or ``model``.
        sites: the sites that take the choice.
        candidates: the activations that every one of these sites may take.
    """

    name: str
    sites: tuple[FoundSite, ...]
    candidates: tuple[Candidate, ...]

    def suggest(self, trial: Suggests) -> dict[str, SiteEntry]:
        """Ask the trial for an activation and its parameters, and return what stands at each site."""
        labels = [candidate.name for candidate in self.candidates]
        label = trial.suggest_categorical(self.name, labels)
        candidate = self.candidates[labels.index(label)]
        parameters: dict[str, Any] = {}
        learn: list[str] = []
        frozen = False
        share: str | None = None
        for key, setting in candidate.settings.items():
            name = f"{self.name}.{label}.{key}"
            match setting:
                case Range():
                    parameters[key] = trial.suggest_float(
                        name, setting.low, setting.high, log=setting.log
                    )
                case Choices():
                    parameters[key] = trial.suggest_categorical(name, setting.choices)
                case Learn():
                    if setting.start is not None:
                        starts = setting.ends()
                        parameters[key] = (
                            starts[0]
                            if len(starts) == 1
                            else trial.suggest_categorical(name, starts)
                        )
                    if setting.learn:
                        learn.append(key)
                        shares = (
                            [setting.share]
                            if isinstance(setting.share, str)
                            else list(setting.share)
                        )
                        share = (
                            shares[0]
                            if len(shares) == 1
                            else trial.suggest_categorical(f"{name}.share", shares)
                        )
                    else:
                        frozen = True
                case _:
                    parameters[key] = setting
        entries = {}
        for site in self.sites:
            entry: dict[str, Any] = {"activation": label, "parameters": parameters}
            if learn or frozen:
                entry["learn"] = learn
            if share == "channel":
                entry |= {
                    "share": share,
                    "channels": site.channels,
                    "channel_dim": site.channel_dim,
                }
            entries[site.name] = SiteEntry.model_validate(entry)
        return entries


@dataclass(frozen=True)
class Decisions:
    """Every decision of a study, and the candidates that were refused before any training, with the reason.

    Args:
        all: the decisions in order of the model's sites.
        initialisation: as in the search space.
        refused: (site, candidate, reason) for what a site's requirement refuses.
    """

    all: tuple[Decision, ...]
    initialisation: Any = None
    refused: tuple[tuple[str, str, str], ...] = field(default=())

    def suggest(self, trial: Suggests) -> Placement:
        """Ask a trial for every decision."""
        entries: dict[str, SiteEntry] = {}
        for decision in self.all:
            entries |= decision.suggest(trial)
        return Placement(sites=entries, initialisation=self.initialisation)

    def own(self) -> dict[str, Any] | None:
        """Return the Optuna parameters that stand for the model's own activations, or ``None`` where the space has none."""
        parameters: dict[str, Any] = {}
        for decision in self.all:
            standing = {site.activation for site in decision.sites}
            by_name = {candidate.name: candidate for candidate in decision.candidates}
            if len(standing) != 1 or (label := standing.pop()) not in by_name:
                return None
            parameters[decision.name] = label
            own = decision.sites[0].specification.get("parameters", {})
            for key, setting in by_name[label].settings.items():
                value = own.get(key)
                name = f"{decision.name}.{label}.{key}"
                if (
                    isinstance(setting, Range)
                    and value is not None
                    and setting.low <= value <= setting.high
                ) or (isinstance(setting, Choices) and value in setting.choices):
                    parameters[name] = value
                elif isinstance(setting, (Range, Choices, Learn)) or value != setting:
                    return None
        return parameters


def decide(space: SearchSpace, sites: Sites, force: bool = False, require: str = "") -> Decisions:
    """Return the decisions of a search space over a model's open sites.

    Args:
        space: the search space.
        sites: the model's sites.
        force: whether to leave requirements aside.
        require: what every activation must meet, beside the site's own requirement.

    Raises:
        SearchSpaceError: the model has no open site, a pattern matches none, or a site's
            requirement allows no candidate.
    """
    free = sites.open
    if not len(free):
        raise SearchSpaceError(
            "the model has no site to search. `actsearch sites TARGET` lists what was found, and"
            " why."
        )
    rules = _rules(space, free)
    refused: list[tuple[str, str, str]] = []
    pools: dict[tuple[int, str], tuple[Candidate, ...]] = {}
    groups: dict[tuple[str, int, tuple[str, ...]], list[FoundSite]] = {}
    chosen: dict[str, tuple[Candidate, ...]] = {}
    for site in free:
        both = site.requires and require
        requires = f"({site.requires}) and ({require})" if both else site.requires or require
        rule = rules[site.name]
        if (id(rule), requires) not in pools:
            verdicts = [
                (c, None if force else _refusal(c, requires)) for c in space.candidates_of(rule)
            ]
            pools[id(rule), requires] = tuple(c for c, refusal in verdicts if refusal is None)
            refused += [
                (site.name, c.name, refusal) for c, refusal in verdicts if refusal is not None
            ]
        pool = pools[id(rule), requires]
        if not pool:
            name, reason = refused[-1][1:]
            raise SearchSpaceError(
                f"no activation of the space may stand at site {site.name!r}, which requires"
                f" {requires!r}: {name}: {reason}. Choose a space whose activations have it, or"
                " pass --force."
            )
        part = {"model": "model", "block": site.block or "model", "layer": site.name}.get(
            space.granularity, site.name
        )
        key = (part, id(rule), tuple(c.name for c in pool))
        groups.setdefault(key, []).append(site)
        chosen[site.name] = pool
    parts = [part for part, *_ in groups]
    decisions = tuple(
        Decision(
            part if parts.count(part) == 1 else f"{part}:{members[0].name}",
            tuple(members),
            chosen[members[0].name],
        )
        for (part, *_), members in groups.items()
    )
    return Decisions(decisions, space.initialisation, tuple(refused))


def _rules(space: SearchSpace, sites: Iterable[FoundSite]) -> dict[str, SiteRule | None]:
    names = [site.name for site in sites]
    for pattern in space.sites:
        if not fnmatch.filter(names, pattern):
            raise SearchSpaceError(
                f"site pattern {pattern!r} must match a site, but matches none of"
                f" {', '.join(names)}."
            )
    return {
        name: next(
            (rule for pattern, rule in space.sites.items() if fnmatch.fnmatch(name, pattern)), None
        )
        for name in names
    }


def _refusal(candidate: Candidate, requires: str) -> str | None:
    if not requires:
        return None
    for corner in candidate.extremes():
        facts = properties(
            activation(
                corner["activation"],
                **corner["parameters"],
                **({"learn": corner["learn"]} if "learn" in corner else {}),
            )
        )
        if refusal := Requirement(requires).refusal(facts):
            return refusal
    return None
