"""Put modules at sites of a model, touching nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from actsearch.placement.site import Site


def replace_sites(model: nn.Module, modules: Mapping[str, nn.Module], example_input: Any = None) -> None:
    """Put each module at the site of that name, in place."""
    for name, module in modules.items():
        parent_name, _, attribute = name.rpartition(".")
        parent = model.get_submodule(parent_name)
        standing = getattr(parent, attribute)
        if isinstance(standing, Site):
            standing.activation = module
        else:
            setattr(parent, attribute, module)
