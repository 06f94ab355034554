"""The picture of a regulated gene: data and fit, and the response curve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from actsearch.task.pictures import DPI, evaluating, new_figure

if TYPE_CHECKING:
    from .task import GeneRegulation

MOST = 3
"""Targets that are drawn."""

SURE = 1.5
"""Ratio of the ends of an interval, above which a constant is not called known."""


@torch.no_grad()
def draw_regulation(task: GeneRegulation, path: Path) -> None:
    """Draw each target with its fit above, and its response with K and n below."""
    rows = torch.cat([task.splits.train, task.splits.val]).sort().values
    inputs, targets = (tensor[rows] for tensor in task.tensors)
    half, steepness = task.half_response()
    shown = min(MOST, targets.shape[1])
    with evaluating(task):
        fit = task(inputs.to(task.device)).cpu()
        ends = task.intervals()
        most = task.scales[0] * 4
        u = torch.linspace(0, 1, 300).to(most)[:, None] * most
        response = task.response(u).cpu()
    figure, axes = new_figure(2, shown, size=3.4)
    for g, (top, below) in enumerate(axes.T[:shown]):
        name = task.names[g]
        suffix = f"/{name}" if name else ""
        at = inputs[:, 0] if task.course is not None else inputs[:, g]
        order = at.argsort()
        top.plot(at, targets[:, g], "o", color="black", alpha=0.4, markersize=3, label="measured")
        top.plot(at[order], fit[order, g], color="C1", label="fit")
        top.set(xlabel="regulator" if task.course is None else "time", title=name or "target")
        top.legend(fontsize=8)
        below.plot(u[:, g].cpu(), response[:, g], color="C1")
        below.axvline(float(half[g]), color="black", linestyle=":")
        texts = []
        for symbol, value in (("K", half[g]), ("n", steepness[g])):
            low, high = (float(ends[f"{symbol}_{end}{suffix}"]) for end in ("low", "high"))
            known = high / low < SURE
            texts.append(
                f"{symbol} {float(value):.3g} ({low:.3g} to {high:.3g})"
                if known
                else f"{symbol} not determined"
            )
        below.set(xlabel="regulator", ylabel="response")
        below.set_title(", ".join(texts), fontsize=9)
    figure.savefig(path, dpi=DPI)
