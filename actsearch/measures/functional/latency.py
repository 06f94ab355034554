"""Latency of a forward pass."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import nn

from actsearch.measures.functional.forward import forward

ROUNDS = 30


def latency(model: nn.Module, example_input: Any) -> float:
    """Return the time of one forward pass in milliseconds.

    It runs in evaluation mode, on the device where the model is.

    Numerics: the smallest of 30 rounds after 3 to warm up; the smallest is the least disturbed by
        what else runs.

    Args:
        model: any module.
        example_input: one input of it; its batch size is the batch size that is timed. A tuple is
            several arguments, a mapping named ones.
    """
    training = model.training
    on_gpu = any(p.is_cuda for p in model.parameters())
    best = float("inf")
    try:
        model.eval()
        with torch.inference_mode():
            for round_ in range(ROUNDS + 3):
                start = time.perf_counter()
                forward(model, example_input)
                if on_gpu:
                    torch.cuda.synchronize()
                if round_ >= 3:
                    best = min(best, time.perf_counter() - start)
    finally:
        model.train(training)
    return best * 1e3
