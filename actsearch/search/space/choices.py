"""A search space bound to a model: what each trial chooses, and the placement of its choices."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from actsearch.activations import Requirement, activation, properties
from actsearch.errors import SearchSpaceError
from actsearch.placement import FoundSite, Placement, SiteEntry, Sites
from actsearch.search.space.search_space import SearchSpace, SiteRule
from actsearch.search.space.settings import Candidate, Choices, Learn, Range


class Suggests(Protocol):
    """The part of an Optuna trial that a search space asks."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Suggest one of the choices."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Suggest a number."""


@dataclass(frozen=True)
class SiteChoice:
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
        """Ask the trial for an activation and its parameters; return what stands at each site."""
        labels = [candidate.name for candidate in self.candidates]
        label = trial.suggest_categorical(self.name, labels)
        settings = self.candidates[labels.index(label)].settings
        parameters: dict[str, Any] = {}
        share = None
        for key, setting in settings.items():
            name = f"{self.name}.{label}.{key}"
            match setting:
                case Range(low=low, high=high, log=log):
                    parameters[key] = trial.suggest_float(name, low, high, log=log)
                case Choices(choices=values):
                    parameters[key] = trial.suggest_categorical(name, values)
                case Learn(start=start):
                    if start is not None:
                        parameters[key] = _one_of(trial, name, setting.ends())
                    shares = [setting.share] if isinstance(setting.share, str) else setting.share
                    if setting.learn:
                        share = _one_of(trial, f"{name}.share", shares)
                case _:
                    parameters[key] = setting
        entry: dict[str, Any] = {"activation": label, "parameters": parameters}
        learned = {key: s for key, s in settings.items() if isinstance(s, Learn)}
        if learned:
            entry["learn"] = [key for key, setting in learned.items() if setting.learn]
        entries = {}
        for site in self.sites:
            own = {}
            if share == "channel":
                own = {
                    "share": share,
                    "channels": site.channels,
                    "channel_dim": site.channel_dim,
                }
            entries[site.name] = SiteEntry.model_validate(entry | own)
        return entries

    def own(self) -> dict[str, Any] | None:
        """Return the parameters that stand for the model's own activations, where they are here."""
        standing = {site.activation for site in self.sites}
        by_name = {candidate.name: candidate for candidate in self.candidates}
        if len(standing) != 1 or (label := standing.pop()) not in by_name:
            return None
        values = self.sites[0].specification.get("parameters", {})
        parameters: dict[str, Any] = {self.name: label}
        for key, setting in by_name[label].settings.items():
            value = values.get(key)
            match setting:
                case Range(low=low, high=high) if value is not None and low <= value <= high:
                    parameters[f"{self.name}.{label}.{key}"] = value
                case Choices(choices=choices) if value in choices:
                    parameters[f"{self.name}.{label}.{key}"] = value
                case Range() | Choices() | Learn():
                    return None
                case _ if value != setting:
                    return None
        return parameters


def _one_of(trial: Suggests, name: str, values: Sequence[Any]) -> Any:
    """Ask a trial for one of some values, where there are several."""
    return values[0] if len(values) == 1 else trial.suggest_categorical(name, list(values))


@dataclass(frozen=True)
class BoundSpace:
    """A search space bound to a model's sites: every choice of a trial.

    Args:
        choices: in order of the model's sites.
        initialisation: as in the search space.
        refused: (site, candidate, reason) for what a site's requirement refuses, before any
            training.
    """

    choices: tuple[SiteChoice, ...]
    initialisation: Any = None
    refused: tuple[tuple[str, str, str], ...] = field(default=())

    def suggest(self, trial: Suggests) -> Placement:
        """Ask a trial for every choice."""
        entries: dict[str, SiteEntry] = {}
        for choice in self.choices:
            entries |= choice.suggest(trial)
        return Placement(sites=entries, initialisation=self.initialisation)

    def own(self) -> dict[str, Any] | None:
        """Return the Optuna parameters that stand for the model's own activations.

        ``None`` where the space has none.
        """
        parameters: dict[str, Any] = {}
        for choice in self.choices:
            own = choice.own()
            if own is None:
                return None
            parameters |= own
        return parameters


def bind(space: SearchSpace, sites: Sites, force: bool = False, require: str = "") -> BoundSpace:
    """Bind a search space to a model's open sites.

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
        gates = any("gate" in site.reason for site in sites.protected)
        opened = " --include-gates searches its gates." if gates else ""
        raise SearchSpaceError(
            "the model has no site to search. `actsearch sites TARGET` lists what was found, and"
            f" why.{opened}"
        )
    rules = _rules(space, free)
    refused: list[tuple[str, str, str]] = []
    verdicts: dict[tuple[int, str], list[tuple[Candidate, str]]] = {}
    groups: dict[tuple[str, int, tuple[str, ...]], list[FoundSite]] = {}
    pools: dict[str, tuple[Candidate, ...]] = {}
    for site in free:
        rule = rules[site.name]
        requires = "" if force else _all_of(site.requires, require)
        same = (id(rule), requires)
        if same not in verdicts:
            verdicts[same] = [(c, _refusal(c, requires)) for c in space.candidates_of(rule)]
            refused += [(site.name, c.name, reason) for c, reason in verdicts[same] if reason]
        pool = tuple(c for c, reason in verdicts[same] if not reason)
        if not pool:
            name, reason = refused[-1][1:]
            raise SearchSpaceError(
                f"no activation of the space may stand at site {site.name!r}, which requires"
                f" {requires!r}: {name}: {reason}. Choose a space whose activations have it, or"
                " pass --force."
            )
        parts = {"model": "model", "block": site.block or "model"}
        part = parts.get(space.granularity, site.name)
        groups.setdefault((part, id(rule), tuple(c.name for c in pool)), []).append(site)
        pools[site.name] = pool
    named = [part for part, *_ in groups]
    choices = tuple(
        SiteChoice(
            part if named.count(part) == 1 else f"{part}:{members[0].name}",
            tuple(members),
            pools[members[0].name],
        )
        for (part, *_), members in groups.items()
    )
    return BoundSpace(choices, space.initialisation, tuple(refused))


def _all_of(first: str, second: str) -> str:
    return f"({first}) and ({second})" if first and second else first or second


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


def _refusal(candidate: Candidate, requires: str) -> str:
    """Return why a candidate does not meet a requirement for some value of its parameters."""
    if not requires:
        return ""
    for corner in candidate.extremes():
        learn = {"learn": corner["learn"]} if "learn" in corner else {}
        facts = properties(activation(corner["activation"], **corner["parameters"], **learn))
        if refusal := Requirement(requires).refusal(facts):
            return refusal
    return ""
