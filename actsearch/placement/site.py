"""A place in a model where an activation acts: marked with a module of its own, or found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, overload

from torch import Tensor, nn
from typing_extensions import override

from actsearch.activations import Requirement, activation, properties
from actsearch.activations.base import Activation
from actsearch.errors import RequirementError, UnknownNameError
from actsearch.placement.shown import shortened_lines, sites_table

Kind = Literal["site", "module", "functional", "attribute", "shared", "gate"]


class Site(nn.Module):
    """Mark a place in an own model where the search may put an activation.

    Args:
        name_or_module: the activation that stands there first: a catalogue name, an expression, or
            any module.
        requires: what an activation must have to stand there, such as ``"bounded and bijective"``.
        **parameters: as for :func:`actsearch.activation`.

    Raises:
        RequirementError: the first activation does not meet the site's own requirement.

    >>> import torch
    >>> Site("relu")(torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    def __init__(
        self, name_or_module: str | nn.Module = "relu", *, requires: str = "", **parameters: Any
    ) -> None:
        super().__init__()
        self.requires = Requirement(requires)
        self.inplace = False  # set where what stood here overwrote an input that is read again
        if isinstance(name_or_module, str):
            self.activation: nn.Module = activation(name_or_module, **parameters)
        else:
            self.activation = name_or_module
        if requires and isinstance(self.activation, Activation):
            refusal = self.requires.refusal(properties(self.activation))
            if refusal:
                raise RequirementError(f"{name_or_module} cannot stand here: {refusal}.")

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation that stands here."""
        return x.copy_(self.activation(x.clone())) if self.inplace else self.activation(x)

    @override
    def extra_repr(self) -> str:
        return f"requires={self.requires.text!r}" if self.requires.text else ""


@dataclass(frozen=True)
class FoundSite:
    """One site of a model, as :func:`actsearch.find_sites` found it.

    Args:
        name: stable name, readable by the model's owner: ``features.3``, ``layer1.0.relu@2`` for a
            second call.
        kind: how it stands in the model.
        activation: what stands there: a catalogue name, or the class or function name.
        specification: what stands there as :meth:`Activation.spec` data, where it has a catalogue
            name; else empty.
        requires: the requirement on properties, as text.
        block: the part of the model it belongs to, for ``granularity: block``.
        stage: the part that its block belongs to.
        channels: size of the channel dimension of its input, where known.
        channel_dim: the dimension that runs over channels.
        elements: elements that pass through it in one forward pass, where an example input was
            given.
        protected: whether it is left alone.
        reason: why it is protected.
    """

    name: str
    kind: Kind
    activation: str
    specification: dict[str, Any] = field(default_factory=dict)
    requires: str = ""
    block: str = ""
    stage: str = ""
    channels: int | None = None
    channel_dim: int = 1
    elements: int | None = None
    protected: bool = False
    reason: str = ""


class Sites(Sequence[FoundSite]):
    """The sites of a model in the order of its forward pass, and what cannot be replaced.

    Args:
        found: the sites.
        method: how they were found: ``"fx"``, ``"function mode"``, ``"fx in parts"`` or
            ``"modules"``.
        missed: nonlinearities seen running that cannot be replaced, each with the reason.
    """

    def __init__(
        self,
        found: Sequence[FoundSite],
        method: str = "modules",
        missed: Sequence[tuple[str, str]] = (),
    ) -> None:
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

    @property
    def protected(self) -> Sites:
        """The sites that are left alone, each with its reason."""
        return Sites([site for site in self._found if site.protected], self.method, self.missed)

    def table(self) -> list[dict[str, Any]]:
        """Return one row a site, then one a nonlinearity that was missed, as plain data."""
        total = sum(site.elements or 0 for site in self._found)
        rows: list[dict[str, Any]] = [
            {
                "site": site.name,
                "kind": site.kind,
                "activation": site.activation,
                "block": site.block,
                "elements": site.elements,
                "share": site.elements / total if site.elements is not None and total else None,
                "protected": site.protected,
                "reason": site.reason,
                "status": "protected" if site.protected else "open",
            }
            for site in self._found
        ]
        blank = {"activation": "", "block": "", "elements": None, "share": None, "protected": False}
        rows += [
            {"site": name, "kind": "missed", **blank, "reason": why, "status": "missed"}
            for name, why in self.missed
        ]
        return rows

    def totals(self) -> dict[str, Any]:
        """Return how many sites were found, are open, protected and missed.

        With their elements, and how they were found.
        """
        return {
            "found": len(self),
            "open": len(self.open),
            "protected": len(self.protected),
            "missed": len(self.missed),
            "elements": sum(site.elements or 0 for site in self._found),
            "method": self.method,
        }

    def __str__(self) -> str:
        return "\n".join([*self._lines(), self._summary()])

    def __repr__(self) -> str:
        return "\n".join([*shortened_lines(self._lines()), self._summary()])

    def _repr_html_(self) -> str:
        return sites_table(self.table(), self._summary())

    def _lines(self) -> list[str]:
        keys = ("site", "kind", "activation", "elements", "status", "reason")
        rows = [["" if row[key] is None else str(row[key]) for key in keys] for row in self.table()]
        widths = [max((len(row[i]) for row in rows), default=0) for i in range(5)]
        return [
            "  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[5]]).rstrip()
            for row in rows
        ]

    def _summary(self) -> str:
        total = self.totals()
        counts = ", ".join(
            f"{total[key]} {key}" for key in ("found", "open", "protected", "missed")
        )
        return f"{counts}; by {self.method}"
