"""Measure a module and leave it, and the random state, as they were."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def undisturbed(module: nn.Module) -> Iterator[None]:
    """Set evaluation mode and seed 0 inside; put mode, buffers, gradients and draws back after.

    Inside, gradients are recorded, and none are there at first.

    Args:
        module: what is measured.
    """
    modes = [(part, part.training) for part in module.modules()]
    buffers = [(buffer, buffer.detach().clone()) for buffer in module.buffers()]
    gradients = [(parameter, parameter.grad) for parameter in module.parameters()]
    devices = {p.device for p in module.parameters() if p.is_cuda}
    drawn = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        try:
            module.eval()
            for parameter, _ in gradients:
                parameter.grad = None
            yield
        finally:
            random.setstate(drawn[0])
            np.random.set_state(drawn[1])
            for part, mode in modes:
                part.training = mode
            for parameter, gradient in gradients:
                parameter.grad = gradient
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)
