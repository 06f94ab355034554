"""The picture of a closed loop, and its response and linearisation as files."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from actsearch.task.pictures import DPI, new_figure

NO_COEFFICIENT = 1e-9
"""Of the largest coefficient, below which a leading one is none."""


def draw_loop(
    path: Path,
    responses: tuple[Tensor, Tensor, Sequence[float]],
    poles: tuple[np.ndarray, np.ndarray],
    shape: tuple[Tensor, Tensor, float],
) -> None:
    """Draw responses to steps of several sizes, the poles, and φ with its tangent.

    Args:
        path: the PNG to write.
        responses: times ``(T,)``, outputs over their reference ``(N, T)``, and the references.
        poles: of the linearised loop, and those fitted to a response.
        shape: inputs of φ, its values, and its slope at 0.
    """
    figure, axes = new_figure(1, 3, size=3.6)
    left, middle, right = axes[0]
    times, outputs, sizes = responses
    left.axhline(1, color="black", linewidth=3, alpha=0.3)
    for output, size in zip(outputs, sizes, strict=True):
        left.plot(times.numpy(), output.numpy(), linewidth=1, label=f"step {size:.3g}")
    left.set(xlabel="s", title="response over the step", ylim=(-0.2, 1.8))
    left.legend(fontsize=8)
    linear, found = poles
    middle.axvline(0, color="black", linewidth=0.5)
    middle.plot(linear.real, linear.imag, "x", color="black", markersize=8, label="linearised")
    middle.plot(
        found.real, found.imag, "o", color="C1", fillstyle="none", label="in the smallest step"
    )
    middle.set(xlabel="real, 1/s", title="poles")
    middle.legend(fontsize=8)
    driven, value, slope = shape
    right.plot(driven.numpy(), (slope * driven).numpy(), color="black", linewidth=3, alpha=0.3)
    right.plot(driven.numpy(), value.numpy(), color="C1")
    low, high = float(value.min()), float(value.max())
    room = 0.2 * (high - low) + 1e-9
    right.set(xlabel="k e", title="activation and tangent", ylim=(low - room, high + room))
    figure.savefig(path, dpi=DPI)


def write_response(path: Path, times: Tensor, u: Tensor, y: Tensor) -> None:
    """Write what drove the plant and what it did as a CSV file, columns t, u and y."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("t", "u", "y"))
        table.writerows(zip(times.tolist(), u.tolist(), y.tolist(), strict=True))


def write_closed_loop(
    path: Path, by_state: np.ndarray, by_reference: np.ndarray, output: np.ndarray
) -> None:
    """Write a linear loop's transfer function, highest power first, and its poles as YAML.

    Args:
        path: the file to write.
        by_state: derivative of its field by its state ``(m, m)``.
        by_reference: and by the reference ``(m,)``.
        output: C ``(m,)``.
    """
    from ruamel.yaml import YAML
    from scipy.signal import ss2tf

    numerator, denominator = ss2tf(by_state, by_reference[:, None], output[None], 0)
    kept = np.abs(numerator[0]) > NO_COEFFICIENT * np.abs(numerator[0]).max()
    poles = np.linalg.eigvals(by_state)
    found = {
        "numerator": numerator[0, kept.argmax() :].tolist(),
        "denominator": denominator.tolist(),
        "poles": [[float(p.real), float(p.imag)] for p in poles],
    }
    with path.open("w", encoding="utf-8") as file:
        YAML().dump(found, file)
