"""The picture of a reconstruction: what was there, the network's, the filter's, and the counts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from actsearch.task.pictures import DPI, new_figure


def draw_reconstruction(
    path: Path, images: Mapping[str, np.ndarray], difference: np.ndarray, counts: np.ndarray
) -> None:
    """Draw images of one range of grey, a difference between two of them, and the counts.

    Args:
        path: the PNG to write.
        images: by title; the first sets the range.
        difference: of two images.
        counts: photons ``(A, D)``.
    """
    figure, axes = new_figure(1, len(images) + 2, size=2.6)
    *shown, error, sinogram = axes[0]
    high = float(next(iter(images.values())).max())
    for ax, (title, image) in zip(shown, images.items(), strict=True):
        ax.imshow(image, cmap="gray", vmin=0, vmax=high)
        ax.set_title(title, fontsize=9)
    span = float(np.abs(difference).max())
    error.imshow(difference, cmap="RdBu_r", vmin=-span, vmax=span)
    error.set_title(f"difference, to {span:.2g}", fontsize=9)
    for ax in (*shown, error):
        ax.axis("off")
    sinogram.imshow(counts, cmap="gray", aspect="auto")
    sinogram.set(xlabel="detector", ylabel="angle", xticks=[], yticks=[])
    sinogram.set_title("photons counted", fontsize=9)
    figure.savefig(path, dpi=DPI)
