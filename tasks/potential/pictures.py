"""The picture of a potential: a force along a path, all forces, and frequencies."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from actsearch.task.pictures import DPI, new_figure

SHOWN_FORCES = 400


def draw_potential(
    path: Path,
    along: Tensor,
    forces: tuple[Tensor, Tensor],
    frequencies: tuple[Tensor, Tensor] | None,
) -> None:
    """Draw the force along a path, the forces of held-out geometries, and frequencies.

    Args:
        path: the PNG to write.
        along: forces ``(K, A, 3)`` on the way from 0.95 to 1.05 of the molecule's size.
        forces: the reference's components and the potential's, ``(M,)``.
        frequencies: likewise, where they are known.
    """
    figure, axes = new_figure(1, 2 if frequencies is None else 3, size=3.2)
    steep, parity, *rest = axes[0]
    atom = along.diff(dim=0).abs().amax((0, 2)).argmax()
    component = along[:, atom].diff(dim=0).abs().amax(0).argmax()
    scale = torch.linspace(0.95, 1.05, len(along))
    steep.plot(scale.numpy(), along[:, atom, component].numpy(), color="C1")
    steep.set(xlabel="size of the molecule", ylabel="force, eV/Å", title="steepest force")
    wanted, found = forces
    ends = [float(wanted.min()), float(wanted.max())]
    parity.plot(ends, ends, color="black", linewidth=3, alpha=0.3)
    parity.plot(wanted[:SHOWN_FORCES].numpy(), found[:SHOWN_FORCES].numpy(), ".", color="C1")
    error = 1e3 * float((found - wanted).abs().mean())
    parity.set(xlabel="reference, eV/Å", ylabel="potential", title=f"forces: {error:.0f} meV/Å")
    for ax in rest:
        assert frequencies is not None, "it has a panel"
        for height, values in enumerate(frequencies):
            ax.vlines(values.numpy(), height, height + 0.8, color=("black", "C1")[height])
        ax.set(xlabel="frequency, cm⁻¹, imaginary < 0", title="vibrations")
        ax.set_yticks([0.4, 1.4], ["reference", "potential"], rotation=90, va="center")
    figure.savefig(path, dpi=DPI)
