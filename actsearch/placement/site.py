"""A place in a model where an activation acts: marked with a module of its own, or found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, overload

from torch import Tensor, nn

from actsearch.activations import Requirement, activation, properties
from actsearch.activations.base import Activation
from actsearch.errors import RequirementError, UnknownNameError

Kind = Literal["site", "module", "functional", "attribute", "shared", "gate"]


class Site(nn.Module):
    """Mark a place in an own model where the search may put an activation.

    Args:
        name_or_module: the activation that stands there first: a catalogue name, an expression, or any module.
        requires: what an activation must have to stand there, such as ``"bounded and bijective"``.
        **parameters: as for :func:`actsearch.activation`.

    Raises:
        RequirementError: the first activation does not meet the site's own requirement.

    >>> import torch
    >>> Site("relu")(torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    def __init__(self, name_or_module: str | nn.Module = "relu", *, requires: str = "", **parameters: Any) -> None:
        super().__init__()
        self.requires = Requirement(requires)
        self.activation = activation(name_or_module, **parameters) if isinstance(name_or_module, str) else name_or_module
        if requires and isinstance(self.activation, Activation):
            refusal = self.requires.refusal(properties(self.activation))
            if refusal:
                raise RequirementError(f"{name_or_module} cannot stand here: {refusal}.")

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation that stands here."""
        return self.activation(x)

    def extra_repr(self) -> str:
        """Show the requirement."""
        return f"requires={self.requires.text!r}" if self.requires.text else ""


@dataclass(frozen=True)
class FoundSite:
    """One site of a model, as :func:`actsearch.find_sites` found it.

    Args:
        name: stable name, readable by the model's owner: ``features.3``, ``layer1.0.relu@2`` for a second call.
        kind: how it stands in the model.
        activation: what stands there: a catalogue name, or the class or function name.
        specification: what stands there as :meth:`Activation.spec` data, where it has a catalogue name; else empty.
        requires: the requirement on properties, as text.
        block: the part of the model it belongs to, for ``granularity: block``.
        channels: size of the channel dimension of its input, where known.
        channel_dim: the dimension that runs over channels.
        elements: elements that pass through it in one forward pass, where an example input was given.
        protected: whether it is left alone.
        reason: why it is protected.
    """

    name: str
    kind: Kind
    activation: str
    specification: dict[str, Any] = field(default_factory=dict)
    requires: str = ""
    block: str = ""
    channels: int | None = None
    channel_dim: int = 1
    elements: int | None = None
    protected: bool = False
    reason: str = ""


class Sites(Sequence[FoundSite]):
    """The sites of a model in order of their forward pass, and what was seen but cannot be replaced.

    Args:
        found: the sites.
        method: how they were found: ``"modules"``, ``"fx"`` or ``"function mode"``.
        missed: nonlinearities seen running that cannot be replaced, each with the reason.
    """

    def __init__(self, found: Sequence[FoundSite], method: str = "modules", missed: Sequence[tuple[str, str]] = ()) -> None:
        self._found = tuple(found)
        self.method = method
        self.missed = tuple(missed)

    @overload
    def __getitem__(self, index: int) -> FoundSite: ...
    @overload
    def __getitem__(self, index: slice) -> Sites: ...
    def __getitem__(self, index: int | slice) -> FoundSite | Sites:
        if isinstance(index, slice):
            return Sites(self._found[index], self.method, self.missed)
        return self._found[index]

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[FoundSite]:
        return iter(self._found)

    def named(self, name: str) -> FoundSite:
        """Return the site of that name."""
        for site in self._found:
            if site.name == name:
                return site
        raise UnknownNameError.among("site", name, (site.name for site in self._found))

    @property
    def open(self) -> Sites:
        """The sites that a search may fill: those not protected."""
        return Sites([site for site in self._found if not site.protected], self.method, self.missed)
