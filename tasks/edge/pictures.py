"""What cheap approximations err by, over what they cost in C."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from actsearch import activation
from actsearch.activations import catalogue
from actsearch.export import counts_by_place
from actsearch.export.cost import cycles, operations
from actsearch.task.pictures import DPI, new_figure

STANDS_FOR = {"hardtanh": "tanh", "softsign": "tanh", "hardsigmoid": "sigmoid", "hardswish": "silu"}
"""Other cheap forms, which come without a stated error."""


def approximations() -> dict[str, str]:
    """Return the cheap activations of the catalogue, each with what it stands for."""
    stated = {
        name: str(found)
        for name, entry in catalogue().items()
        if (found := getattr(entry, "approximates", None))
    }
    return stated | STANDS_FOR


class _SideBySide(nn.Module):
    """Activations of inputs of unlike size, so that each is a loop of its own."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.each = nn.ModuleList(activation(name) for name in names)

    def forward(self, x: Tensor) -> Tensor:
        parts = [f(x[:, : size + 1]) for size, f in enumerate(self.each)]
        return torch.cat(parts, 1)


@cache
def errors_and_costs() -> dict[str, tuple[str, float, int, int]]:
    """Return of each cheap form and of what it stands for what there is to choose by.

    That is the name of the exact one, the largest difference from it on [-8, 8], and the operations
    and cycles of an element.
    """
    exact = approximations()
    exact |= {name: name for name in exact.values()}
    model, x = _SideBySide(tuple(exact)), torch.linspace(-8, 8, 4001)
    counts = counts_by_place(model, [x[None, : len(exact)]])
    found = {}
    for number, (name, other) in enumerate(exact.items()):
        own = counts[f"each.{number}"]
        size = number + 1
        with torch.no_grad():
            error = float((activation(name)(x) - activation(other)(x)).abs().max())
        found[name] = (other, error, operations(own) // size, cycles(own) // size)
    return found


def draw_approximations(path: Path, used: Collection[str]) -> None:
    """Draw error over cost of each approximation, beside the exact forms.

    Args:
        path: the PNG to write.
        used: names that are marked.
    """
    figure, axes = new_figure(size=5.0)
    ax, found = axes[0, 0], errors_and_costs()
    for number, target in enumerate(dict.fromkeys(other for other, *_ in found.values())):
        own = {name: one for name, one in found.items() if one[0] == target}
        x, y = [one[3] for one in own.values()], [one[1] for one in own.values()]
        ax.plot(x, y, "o", color=f"C{number}", label=target)
        for name, *point in zip(own, x, y, strict=True):
            weight = "bold" if name in used else "normal"
            ax.annotate(
                name, point, (4, 3), textcoords="offset points", fontsize=7, fontweight=weight
            )
    ax.set(
        xlabel="cycles of a Cortex-M4F for an element",
        ylabel="largest error on [-8, 8]",
        xlim=(0, 85),
        ylim=(-2e-3, 0.6),
        title=f"in this network: {', '.join(sorted(used))}",
    )
    ax.set_yscale("symlog", linthresh=5e-3)
    ax.legend(fontsize=8)
    figure.savefig(path, dpi=DPI)
