"""Where a site is in the code of its model."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actsearch.activations import from_spec
from actsearch.activations.base import Activation
from actsearch.placement.discovery.candidates import Held
from actsearch.placement.site import FoundSite, Site


@dataclass
class Place:
    """Where a site is in the code: what is needed to replace it, beside what the user is told.

    Args:
        site: what the user is told.
        owner: path of the module that makes the call.
        key: path of the module or attribute called, or the name of the function.
        functional: whether it is a function call.
        index: which of the sites of that owner and key it is.
        write_back: whether the result must be written into the input.
        module: what stands there now, where it is a module.
        parameters: of the function that stands there now, where it is one.
    """

    site: FoundSite
    owner: str
    key: str
    functional: bool = False
    index: int = 0
    write_back: bool = False
    module: nn.Module | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def _activation(self) -> nn.Module | None:
        return self.module.activation if isinstance(self.module, Site) else self.module

    def function(self) -> Callable[[Tensor], Any] | None:
        """Return what stands at the site as a function of one tensor.

        ``None`` where it cannot be evaluated alone.
        """
        found: Any = self._activation
        if isinstance(found, Held):
            found = found.function
        if found is None and self.functional:
            plain = getattr(F, self.key, None) or getattr(torch, self.key)
            found = functools.partial(plain, **self.parameters)
        own = next(found.parameters(), None) if isinstance(found, nn.Module) else None
        try:
            with torch.no_grad():
                y = found(torch.zeros(3) if own is None else torch.zeros(3).to(own))
        except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError):
            return None  # it needs a shape of its own, such as channels
        elementwise = isinstance(y, Tensor) and not y.is_meta and y.shape == (3,)
        return found if elementwise else None

    def holds(self, module: Activation) -> bool:
        """Return whether this activation stands there already, learned values included."""
        spec = self.site.specification
        if not spec or from_spec(spec).spec() != module.spec():
            return False
        found = self._activation
        if not isinstance(found, Activation):
            return True  # a function of torch at these parameters
        now, then = found.state_dict(), module.state_dict()
        return all(torch.equal(now[key].to(then[key]), then[key]) for key in then)
