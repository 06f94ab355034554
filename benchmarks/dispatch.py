"""What a forward costs whose calls are sent to activations, as ratios to the same model by hand.

    python benchmarks/dispatch.py [--depth 8] [--rounds 200]

A functional call, and a call of an instance that stands at several sites, is counted by a subclass
of its owner's class; a module of its own is simply replaced. Contestants take turns, and the median
of each counts. One thread, forward and backward.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actsearch import Placement, activation, find_sites


class Network(nn.Module):
    """Linear layers, each followed by a call of a function.

    Args:
        width: of every layer.
        depth: how many layers.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        """Return the output."""
        for layer in self.layers:
            x = F.relu(layer(x))
        return x


class SharedInstance(Network):
    """Each layer is followed by a call of one instance."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__(width, depth)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return the output."""
        for layer in self.layers:
            x = self.relu(layer(x))
        return x


class Modules(Network):
    """Each layer is followed by a call of a module of its own."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__(width, depth)
        self.parts = nn.ModuleList(nn.ReLU() for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        """Return the output."""
        for layer, part in zip(self.layers, self.parts, strict=True):
            x = part(layer(x))
        return x


def contestants(width: int, depth: int) -> dict[str, nn.Module]:
    """Return the same function, by hand first."""
    by_hand = Modules(width, depth)
    by_hand.parts = nn.ModuleList(activation("silu") for _ in range(depth))
    placed = {
        "modules replaced": Modules(width, depth),
        "functional calls": Network(width, depth),
        "one shared instance": SharedInstance(width, depth),
    }
    example = torch.randn(2, width)
    for model in placed.values():
        Placement.uniform("silu", find_sites(model, example)).apply(model, example)
    return {"by hand": by_hand, **placed}


def seconds(model: nn.Module, x: Tensor) -> float:
    """Return the time of one forward and backward."""
    start = time.perf_counter()
    model(x).sum().backward()
    return time.perf_counter() - start


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--depth", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for width, batch in ((16, 16), (128, 64), (512, 256)):
        models = contestants(width, options.depth)
        x = torch.randn(batch, width)
        outputs = [model(x) for model in models.values()]
        assert all(torch.equal(output, outputs[0]) for output in outputs)
        times: dict[str, list[float]] = {name: [] for name in models}
        for _ in range(options.rounds):
            for name, model in models.items():
                times[name].append(seconds(model, x))
        medians = {name: statistics.median(values) for name, values in times.items()}
        base = medians["by hand"]
        shown = ", ".join(f"{name} {value / base:.2f}" for name, value in medians.items())
        print(f"{options.depth} layers, width {width}, batch {batch}: {shown}")


if __name__ == "__main__":
    main()
