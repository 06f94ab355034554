"""What stands at one site, as a placement file says it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from actsearch.activations import from_spec
from actsearch.activations.base import Activation
from actsearch.activations.registry import canonical_name
from actsearch.placement.shown import given_parameters

MOST_CHANNELS = 1_000_000
ParameterValue = bool | int | float | str | None


class SiteEntry(BaseModel):
    """What stands at one site."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    activation: Annotated[str, Field(min_length=1, max_length=512)]
    parameters: dict[str, ParameterValue | list[ParameterValue]] = {}
    learn: list[str] | None = None
    share: Literal["layer", "channel"] | None = None
    channels: Annotated[int, Field(ge=1, le=MOST_CHANNELS)] | None = None
    channel_dim: Annotated[int, Field(ge=-8, le=8)] | None = None

    @field_validator("activation")
    @classmethod
    def _canonical(cls, activation: str) -> str:
        return canonical_name(activation) or activation

    def __str__(self) -> str:
        shown = ", ".join(f"{key}={value}" for key, value in given_parameters(self).items())
        return f"{self.activation}({shown})" if shown else self.activation

    def build(self, channels: int | None = None, channel_dim: int = 1) -> Activation:
        """Build the activation; the arguments fill in where the file does not name channels."""
        spec = self.model_dump(exclude_none=True)
        if self.share == "channel" and self.channels is None:
            spec |= {"channels": channels, "channel_dim": channel_dim}
        return from_spec(spec)
