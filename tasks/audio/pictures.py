"""The picture of a distortion: its spectrum beside the device's, and its transfer curve."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from actsearch.task.pictures import DPI, new_figure


def draw_sound(
    path: Path,
    spectra: tuple[Tensor, ...],
    curve: tuple[Tensor, ...],
    waves: tuple[Tensor, Tensor, Tensor],
    rate: int,
) -> None:
    """Draw levels, the transfer curve, and the waves themselves.

    Args:
        path: the PNG to write.
        spectra: levels in dB of output and target, of harmonics or of many frequencies.
        curve: inputs that stay and what comes out.
        waves: segments ``(N, T)`` of input, output and target, of which the first is drawn.
        rate: samples a second, of a recording.
    """
    figure, axes = new_figure(1, 3, size=3.6)
    left, middle, right = axes[0]
    output, target = (levels.numpy() for levels in spectra)
    if len(output) <= 40:
        numbers = range(1, len(output) + 1)
        left.bar(numbers, target + 120, bottom=-120, color="grey", alpha=0.4, label="target")
        left.plot(numbers, output, "_", color="C1", markersize=12, label="output")
        left.set(xlabel="harmonic", ylabel="dB of the fundamental")
    else:
        hertz = np.linspace(0, rate / 2, len(output) + 2)[2:]  # the two lowest are left out
        left.plot(hertz, target, color="grey", alpha=0.6, label="target")
        left.plot(hertz, output, color="C1", linewidth=0.8, label="output")
        left.set(xlabel="Hz", ylabel="dB of the strongest")
    left.legend(fontsize=8)
    x, y = (t.numpy() for t in curve)
    middle.plot(x, y, color="C1")
    middle.set(xlabel="input", ylabel="output", title="transfer curve")
    _, found, wanted = (wave[0][:512].numpy() for wave in waves)
    right.plot(wanted - wanted.mean(), color="black", linewidth=3, alpha=0.3, label="target")
    right.plot(found - found.mean(), color="C1", label="output")
    right.set(xlabel="sample", title="without the mean")
    right.legend(fontsize=8)
    figure.savefig(path, dpi=DPI)
