"""Put a model back as it was after a trace."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn


@contextlib.contextmanager
def preserved(model: nn.Module) -> Iterator[None]:
    """Put everything back as it was: attributes, buffers, training mode, random state."""
    state = [
        (m, dict(vars(m)), dict(m._modules), dict(m._parameters), dict(m._buffers))
        for m in model.modules()
    ]
    values = [(b, b.clone()) for b in model.buffers() if not b.is_meta]
    devices = sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        for module, attributes, modules, parameters, buffers in state:
            vars(module).clear()
            vars(module).update(attributes)
            for members, before in (
                (module._modules, modules),
                (module._parameters, parameters),
                (module._buffers, buffers),
            ):
                members.clear()
                members.update(before)  # type: ignore[arg-type]  # each its own
        with torch.no_grad():
            for buffer, value in values:
                if not torch.equal(buffer, value):
                    buffer.copy_(value)
