"""One activation of a search space, and what may become of each of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from actsearch.activations import from_spec
from actsearch.activations.base import Share
from actsearch.activations.registry import canonical_name
from actsearch.errors import ActsearchError
from actsearch.placement.files import explain

Scalar = bool | int | float | str


STRICT = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
"""Of every part of a search space: unknown fields are refused."""


class Range(BaseModel):
    """A searched number: ``{low: 0.001, high: 0.3, log: true}``."""

    model_config = STRICT

    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high or (self.log and self.low <= 0):
            raise ValueError(
                f"low < high must hold, and 0 < low where log is true, but got low={self.low},"
                f" high={self.high}."
            )
        return self

    def ends(self) -> list[Any]:
        """Return the values that decide whether the whole range is allowed."""
        return [self.low, self.high]


class Choices(BaseModel):
    """A searched choice: ``{choices: [1, 6]}``."""

    model_config = STRICT

    choices: Annotated[list[Scalar], Field(min_length=1, max_length=1000)]

    def ends(self) -> list[Any]:
        """Return every choice."""
        return list(self.choices)


class Learn(BaseModel):
    """A learned parameter: ``{learn: true, start: [0.05, 0.25], share: [layer, channel]}``.

    Args:
        learn: whether it is learned.
        start: its start value, or several to choose from; the activation's own default where not
            given.
        share: one value per layer or per channel, or both to choose from.
    """

    model_config = STRICT

    learn: bool
    start: float | list[float] | None = None
    share: Share | list[Share] = "layer"

    def ends(self) -> list[Any]:
        """Return every start value."""
        if self.start is None:
            return []
        return self.start if isinstance(self.start, list) else [self.start]


Setting = Range | Choices | Learn | Scalar | list[Scalar]


def _setting(value: Any) -> Any:
    """Tell which kind of setting a mapping is by its keys.

    So a mistake is reported for that kind.
    """
    if not isinstance(value, Mapping):
        return value
    for kind, key in ((Choices, "choices"), (Learn, "learn")):
        if key in value:
            return kind.model_validate(value)
    return Range.model_validate(value)


class Candidate(BaseModel):
    """One activation of a search space with the settings of its parameters."""

    model_config = STRICT

    name: str
    settings: dict[str, Setting] = {}

    @model_validator(mode="before")
    @classmethod
    def _kinds(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and isinstance(data.get("name"), str):
            data = {**data, "name": canonical_name(data["name"]) or data["name"]}
        if not isinstance(data, Mapping) or not isinstance(data.get("settings"), Mapping):
            return data
        settings = {}
        for key, value in data["settings"].items():
            try:
                settings[key] = _setting(value)
            except ValidationError as error:
                raise ValueError(f"{key}: {explain(error)}") from None
        return {**data, "settings": settings}

    @model_validator(mode="after")
    def _exists(self) -> Self:
        try:
            for spec in self.extremes():
                from_spec(spec)
        except ActsearchError as error:
            raise ValueError(str(error)) from None
        return self

    def _learned(self) -> dict[str, Any]:
        learn = [
            key
            for key, setting in self.settings.items()
            if isinstance(setting, Learn) and setting.learn
        ]
        frozen = any(
            isinstance(setting, Learn) and not setting.learn for setting in self.settings.values()
        )
        return {"learn": learn} if learn or frozen else {}

    def extremes(self) -> list[dict[str, Any]]:
        """Return the candidate with each setting at each of its ends, to be checked beforehand."""
        fixed = {
            k: v for k, v in self.settings.items() if not isinstance(v, (Range, Choices, Learn))
        }
        corners: list[dict[str, Any]] = [dict(fixed)]
        for key, setting in self.settings.items():
            if isinstance(setting, (Range, Choices, Learn)) and (ends := setting.ends()):
                corners = [{**corner, key: end} for corner in corners[:64] for end in ends]
        return [
            {"activation": self.name, "parameters": corner} | self._learned() for corner in corners
        ]
