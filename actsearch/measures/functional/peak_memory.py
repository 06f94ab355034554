"""Memory that a training step keeps for its backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from actsearch.measures.functional.forward import forward


def peak_memory(model: nn.Module, example_input: Any) -> float:
    """Return the MiB of what a forward pass saves for its backward pass, each storage once.

    It is what activations decide of a training's memory: a function that recomputes saves less.
    Parameters are left out.

    Args:
        model: any module.
        example_input: one input of it; a tuple is several arguments, a mapping named ones.
    """
    kept: dict[int, int] = {}
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        alive = forward(model, example_input)
    del alive
    return sum(kept.values()) / 2**20
