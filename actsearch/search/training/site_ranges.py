"""What the sites of a model take in, before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from actsearch.placement import Site
from actsearch.placement.discovery.find import discover
from actsearch.placement.replacement.replace import replace_sites

WIDENED = 1.5
"""A site is expected to see its range at initialisation, this much wider: training moves it."""

UNKNOWN_RANGE = (-8.0, 8.0)
"""What a site is taken to see where it could not be measured."""


class _Seen:
    """What a site was given so far: the range, and whether one was exactly 0."""

    def __init__(self) -> None:
        self.low, self.high = math.inf, -math.inf
        self.zero = False

    def note(self, x: Tensor) -> None:
        """Take in an input."""
        low, high = x.detach().aminmax()
        self.low, self.high = min(self.low, float(low)), max(self.high, float(high))
        self.zero = self.zero or bool((x.detach() == 0).any())

    def widened(self) -> tuple[float, float]:
        """Return the range, wider."""
        if not self.low < self.high or not math.isfinite(self.high - self.low):
            return UNKNOWN_RANGE
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        return middle - WIDENED * half, middle + WIDENED * half


class _Observer(nn.Module):
    """Stands at a site, notes what it is given, and computes what stood there."""

    def __init__(self, function: Callable[[Tensor], Any], seen: _Seen) -> None:
        super().__init__()
        self.function = function
        self.seen = seen

    @override
    def forward(self, x: Tensor) -> Any:
        self.seen.note(x)
        return self.function(x)


def site_ranges(model: nn.Module, example: Any) -> dict[str, tuple[float, float, bool]]:
    """Return what each open site sees of an example: the range, widened, and whether 0 is in it.

    A marked site is watched where it stands, since its owner may ask what it is; at any other an
    observer is put. The model cannot be used afterwards.
    """
    discovery = discover(model, example)
    seen = {site.name: _Seen() for site in discovery.sites.open}
    observers = {}
    for name, one in seen.items():
        place = discovery.places[name]
        function = place.function()
        if isinstance(place.module, Site):
            place.module.register_forward_pre_hook(lambda _, given, one=one: one.note(given[0]))
        elif function is not None:
            observers[name] = _Observer(function, one)
    replace_sites(model, observers, discovery)
    with torch.no_grad():
        if isinstance(example, Mapping):
            model(**example)
        else:
            model(*(example if isinstance(example, (tuple, list)) else (example,)))
    return {name: (*one.widened(), one.zero) for name, one in seen.items() if one.low <= one.high}
