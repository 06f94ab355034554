"""The picture of a policy with its kink, and the policy as a file."""

from __future__ import annotations

import csv
from pathlib import Path

from torch import Tensor

from actsearch.task.pictures import DPI, new_figure


def draw_policy(path: Path, rows: tuple[Tensor, Tensor, Tensor], kink: float, name: str) -> None:
    """Draw what was found beside the reference, its kink enlarged, and the error below.

    Args:
        path: the PNG to write.
        rows: cash, what was found there, and the reference, each ``(N,)``.
        kink: where it is.
        name: of what was found.
    """
    figure, axes = new_figure(2, 2, size=2.7)
    cash, found, wanted = (row.numpy() for row in rows)
    width = max(3 * (0.1 * abs(kink) + 0.05), 0.3)
    for column, title in enumerate(("all", f"kink at {kink:.3f}")):
        upper, lower = axes[:, column]
        shown = abs(cash - kink) <= width if column else cash == cash
        x, y, z = cash[shown], found[shown], wanted[shown]
        upper.plot(x, z, color="black", linewidth=3, alpha=0.3, label="reference")
        upper.plot(x, y, color="C1", label="network")
        upper.set(title=title)
        lower.plot(x, y - z, color="C1", linewidth=0.8)
        lower.axvline(kink, color="grey", linestyle=":")
        lower.set(xlabel="cash on hand")
    axes[0, 0].set_ylabel(name)
    axes[1, 0].set_ylabel("error")
    axes[0, 0].legend(fontsize=8)
    figure.savefig(path, dpi=DPI)


def write_policy(path: Path, cash: Tensor, ages: Tensor, found: Tensor) -> None:
    """Write a policy as columns m, age and c, as the option ``model`` reads them."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("m", "age", "c"))
        for m, age, c in zip(cash.tolist(), ages.tolist(), found.tolist(), strict=True):
            table.writerow((f"{m:.6f}", age, f"{c:.8f}"))
