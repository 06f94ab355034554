"""The picture of a learned update map: its roll-out beside the truth, and its eigenvalues."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from actsearch.task.pictures import DPI, new_figure


def draw_steps(
    path: Path, truth: Tensor, found: Tensor, eigenvalues: Tensor | None, radius: float
) -> None:
    """Draw a field over space and time, or of two dimensions in the end, and eigenvalues.

    Args:
        path: the PNG to write.
        truth: states ``(T, *points)``.
        found: the roll-out from the first of them, no longer.
        eigenvalues: of the Jacobian at rest, where they are known.
        radius: the largest of them, in size.
    """
    truth = truth[: len(found)]
    figure, axes = new_figure(1, 4, size=2.3)
    level = float(truth.mean())
    limit = float((truth - level).abs().max()) or 1.0
    shown = {"truth": truth, "roll-out": found, "difference": found - truth}
    for ax, (title, states) in zip(axes[0], shown.items(), strict=False):
        alone = title == "difference"
        middle, scale = (0.0, float(states.abs().max()) or 1.0) if alone else (level, limit)
        flat = states[-1] if states.ndim == 3 else states
        image = ax.imshow(
            flat.numpy(),
            origin="lower",
            aspect="auto",
            interpolation="nearest",
            cmap="RdBu_r",
            vmin=middle - scale,
            vmax=middle + scale,
        )
        figure.colorbar(image, ax=ax)
        ax.set(title=title, xlabel="point", ylabel="point" if states.ndim == 3 else "step")
    last = axes[0, 3]
    angle = torch.linspace(0, 2 * torch.pi, 200)
    last.plot(angle.cos().numpy(), angle.sin().numpy(), color="black", linewidth=0.8)
    if eigenvalues is not None:
        values = eigenvalues.cpu()
        last.plot(values.real.numpy(), values.imag.numpy(), ".", color="C1")
    last.set(title=f"radius {radius:.4f}", aspect="equal")
    figure.savefig(path, dpi=DPI)
