"""Nonlinearities that run but cannot be replaced, each with the reason."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from actsearch.placement.tracing.graph import Graph

_FUSED_TANH = (nn.LSTM, nn.GRU, nn.LSTMCell, nn.GRUCell)
_FUSED_CHOICE = (nn.RNN, nn.RNNCell)


def missed_in(model: nn.Module, graphs: Iterable[Graph]) -> list[tuple[str, str]]:
    """Return what no one can reach: in fused layers, in compiled modules, in fused functions."""
    missed: list[tuple[str, str]] = []
    for name, module in model.named_modules():
        kind = type(module).__name__
        if isinstance(module, (*_FUSED_TANH, *_FUSED_CHOICE)):
            inner = "tanh" if isinstance(module, _FUSED_TANH) else module.nonlinearity
            instead = f"actsearch.placement.recurrent has {kind} with a site"
            missed.append((name, f"{inner} inside the fused nn.{kind}: {instead}"))
        elif isinstance(module, torch.jit.ScriptModule):
            missed.append((name, "compiled by TorchScript: find and place before compiling"))
    for graph in graphs:
        missed += graph.unseen
    return missed
