"""What the sites of a model take in, before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from actsearch.placement.discovery.find import discover
from actsearch.placement.replacement.replace import replace_sites

WIDENED = 1.5
"""A site is expected to see its range at initialisation, this much wider: training moves it."""

UNKNOWN_RANGE = (-8.0, 8.0)
"""What a site is taken to see where it could not be measured."""


class _Observer(nn.Module):
    """Stands at a site, computes what stood there, and remembers the range of what it was given."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function
        self.low, self.high = math.inf, -math.inf
        self.zero = False

    @override
    def forward(self, x: Tensor) -> Any:
        low, high = x.detach().aminmax()
        self.low, self.high = min(self.low, float(low)), max(self.high, float(high))
        self.zero = self.zero or bool((x.detach() == 0).any())
        return self.function(x)

    def widened(self) -> tuple[float, float]:
        """Return the range, wider."""
        if not self.low < self.high or not math.isfinite(self.high - self.low):
            return UNKNOWN_RANGE
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        return middle - WIDENED * half, middle + WIDENED * half


def site_ranges(model: nn.Module, example: Any) -> dict[str, tuple[float, float, bool]]:
    """Return what each open site sees of an example: the range, widened, and whether 0 is in it.

    The model cannot be used afterwards.
    """
    discovery = discover(model, example)
    observers = {}
    for site in discovery.sites.open:
        function = discovery.places[site.name].function()
        if function is not None:
            observers[site.name] = _Observer(function)
    replace_sites(model, observers, discovery)
    with torch.no_grad():
        if isinstance(example, Mapping):
            model(**example)
        else:
            model(*(example if isinstance(example, (tuple, list)) else (example,)))
    return {name: (*observer.widened(), observer.zero) for name, observer in observers.items()}
