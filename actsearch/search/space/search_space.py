"""What may be searched: which activations may stand where, and with which parameters."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from actsearch.activations.registry import canonical_name
from actsearch.errors import SearchSpaceError
from actsearch.placement import Placement, Sites
from actsearch.placement.files import explain
from actsearch.search.space import strict_yaml
from actsearch.search.space.settings import STRICT, Candidate
from actsearch.task import plugins

Granularity = Literal["model", "block", "layer", "staged"]


class Generate(BaseModel):
    """A pool of random expressions, all different functions: ``{count: 300, depth: 2, seed: 0}``.

    Args:
        count: how many.
        depth: nesting depth of the expressions.
        seed: seed of the random generation.
    """

    model_config = STRICT

    count: Annotated[int, Field(ge=1, le=20_000)]
    depth: Annotated[int, Field(ge=1, le=6)] = 2
    seed: int = 0


class SiteRule(BaseModel):
    """What differs at the sites that a pattern matches.

    Args:
        activations: names of the activations that may stand there: a part of the space's own, or
            new ones with settings.
    """

    model_config = STRICT

    activations: list[str] | dict[str, dict[str, Any] | None]


class SearchSpace(BaseModel):
    """Which activations may stand where, with which parameters, and at which granularity.

    Args:
        activations: by name or expression, the settings of its parameters: a value (fixed), a
            :class:`Range` or :class:`Choices` (searched), or a :class:`Learn` (learned).
        granularity: one choice for the whole model, for each block, or for each layer; ``staged``
            is all three in turn, each from the best so far.
        sites: by site pattern (``*`` matches anything), the rule that holds there instead; the
            first match counts.
        generate: random expressions to add to the activations.
        initialisation: scale the weights feeding each site by its activation's own gain.

    >>> SearchSpace.load("rectifiers").granularity
    'layer'
    """

    model_config = STRICT

    activations: dict[str, dict[str, Any] | None] = {}
    granularity: Granularity = "layer"
    sites: dict[str, SiteRule] = {}
    generate: Generate | None = None
    initialisation: Literal["forward", "backward", "mean"] | None = None

    @model_validator(mode="after")
    def _valid(self) -> Self:
        if not self.activations and self.generate is None:
            raise ValueError(
                "activations must name at least one activation, or generate must ask for some."
            )
        for name, settings in self.activations.items():
            _candidate(name, settings, f"activations.{name}")
        _refuse_twice(self.activations, "activations")
        for pattern, rule in self.sites.items():
            _refuse_twice(rule.activations, "sites", pattern, "activations")
            if isinstance(rule.activations, dict):
                for name, settings in rule.activations.items():
                    _candidate(name, settings, f"sites.{pattern}.activations.{name}")
            else:
                for name in rule.activations:
                    if name not in self.activations:
                        _candidate(name, None, f"sites.{pattern}.activations")
        return self

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """The candidates of a site that no rule matches, generated expressions included."""
        named = tuple(
            Candidate(name=name, settings=settings or {})
            for name, settings in self.activations.items()
        )
        if self.generate is None:
            return named
        from actsearch.activations.expression.generate import pool

        fresh = pool(self.generate.count, self.generate.depth, self.generate.seed)
        return (*named, *(Candidate(name=text) for text in fresh if text not in self.activations))

    def candidates_of(self, rule: SiteRule | None) -> tuple[Candidate, ...]:
        """Return the candidates under a rule."""
        if rule is None:
            return self.candidates
        if isinstance(rule.activations, dict):
            return tuple(
                Candidate(name=name, settings=settings or {})
                for name, settings in rule.activations.items()
            )
        known = {_canonical(name): settings for name, settings in self.activations.items()}
        return tuple(
            Candidate(name=name, settings=known.get(_canonical(name)) or {})
            for name in rule.activations
        )

    def suggest(self, trial: Any, sites: Sites) -> Placement:
        """Ask a trial of your own Optuna study what stands where.

        Args:
            trial: an Optuna trial; each choice of the space becomes one of its parameters.
            sites: of the model, as :func:`actsearch.find_sites` returns them.

        Raises:
            SearchSpaceError: the space does not fit the sites.

        >>> space = SearchSpace.load("smooth")
        >>> placement = space.suggest(trial, find_sites(model))    # doctest: +SKIP
        """
        from actsearch.search.space.choices import bind  # which reads spaces

        return bind(self, sites).suggest(trial)

    @classmethod
    def load(cls, name_or_path: str | Path) -> Self:
        """Read a search space by the name of a preset, or from a YAML file.

        Raises:
            SearchSpaceError: no such space, or a wrong field; the message names file, field and
                line.
        """
        path = find_space(name_or_path)
        data, lines = strict_yaml.load(path)
        if not isinstance(data, dict):
            raise SearchSpaceError(
                f"{path}:1: a search space must be a mapping with activations, but got {data!r}."
            )
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            first = error.errors()[0]
            location = getattr(first.get("ctx", {}).get("error"), "location", first["loc"])
            message = explain(error)
            line = strict_yaml.line_of(lines, _within(lines, location))
            raise SearchSpaceError(f"{path}:{line}: {message.rstrip('.')}.") from None


def _canonical(name: str) -> str:
    return canonical_name(name) or name


def _refuse_twice(names: Iterable[str], *where: str) -> None:
    """Raise where one activation is named in two spellings."""
    first: dict[str, str] = {}
    for name in names:
        if (earlier := first.setdefault(_canonical(name), name)) != name:
            raise _At(
                f"{'.'.join(where)}: {name} is given twice, as {earlier} too. Leave one.",
                (*where, name),
            )


class _At(ValueError):
    """A complaint that knows which part of the space it is about."""

    def __init__(self, message: str, location: tuple[str, ...]) -> None:
        super().__init__(message)
        self.location = location


def _candidate(name: str, settings: dict[str, Any] | None, where: str) -> Candidate:
    try:
        return Candidate(name=name, settings=settings or {})
    except ValidationError as error:
        location = (
            ("activations", name)
            if where.startswith("activations.")
            else tuple(where.split(".activations", 1)[0].split(".", 1))
        )
        raise _At(f"{where}: {explain(error)}", location) from None


def _within(lines: strict_yaml.Lines, location: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Return the part of pydantic's location that stands in the file.

    It adds the names of union members.
    """
    path: tuple[str | int, ...] = ()
    for part in location:
        if (*path, part) in lines:
            path = (*path, part)
    return path


EDITOR = "# yaml-language-server:"
"""How the line of a preset begins that tells an editor its schema."""


def find_space(name_or_path: str | Path) -> Path:
    """Return the file of a preset or the path itself."""
    text = str(name_or_path)
    if text.endswith((".yaml", ".yml")) or "/" in text:
        path = Path(text)
        if not path.is_file():
            raise SearchSpaceError(
                f"search space file {text} does not exist. `actsearch spaces` lists the presets."
            )
        return path
    return plugins.find_member("search_spaces", text)


def description(path: Path) -> str:
    """Return the first sentence of the comment at a preset's head."""
    head: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith(EDITOR):
            head.append(line.lstrip("# ").rstrip())
    return " ".join(head).split(". ")[0].rstrip(".") + "." if head else ""
