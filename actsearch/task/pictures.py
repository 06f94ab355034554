"""Pictures that several tasks draw; matplotlib loads when one is drawn, without a display."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from actsearch.figure import DPI as DPI
from actsearch.figure import new_figure as new_figure
from actsearch.measures.functional.calibration_error import calibration_bins, calibration_error


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Have a model in evaluation mode, and in its own again afterwards."""
    training = model.training
    model.eval()
    yield
    model.train(training)


def confusion_matrix(path: Path, actual: Tensor, predicted: Tensor, classes: Sequence[str]) -> None:
    """Draw how many samples of each class (rows) were taken for which (columns)."""
    count = len(classes)
    matrix = torch.bincount(actual * count + predicted, minlength=count * count).view(count, count)
    figure, axes = new_figure(size=max(4.0, 0.45 * min(count, 40)))
    ax = axes[0, 0]
    ax.imshow(matrix.numpy(), cmap="Blues")
    share = float((actual == predicted).float().mean())
    ax.set(xlabel="predicted", ylabel="actual", title=f"confusion matrix: accuracy {share:.3f}")
    if count <= 40:  # beyond, names and counts would overlap
        ax.set_xticks(range(count), classes, rotation=90 if max(map(len, classes)) > 2 else 0)
        ax.set_yticks(range(count), classes)
        for i, row in enumerate(matrix.tolist()):
            for j, cell in enumerate(row):
                if cell:
                    colour = "white" if cell > matrix.max() / 2 else "black"
                    ax.text(j, i, cell, ha="center", va="center", color=colour, fontsize=8)
    figure.savefig(path, dpi=DPI)


def reliability_diagram(path: Path, confidences: Mapping[str, Tensor], right: Tensor) -> None:
    """Draw the share that is right over the confidence, with the samples of each bin below.

    Args:
        path: the PNG to write.
        confidences: by title, probabilities ``(N,)`` of the class that is taken.
        right: whether it is the class, ``(N,)``.
    """
    figure, axes = new_figure(2, len(confidences))
    for (upper, lower), (title, confidence) in zip(axes.T, confidences.items(), strict=True):
        found = calibration_bins(confidence, right, 10, "equal_width")
        error = calibration_error(confidence, right)
        upper.plot([0, 1], [0, 1], color="grey", linestyle=":")
        upper.plot(found.confidence.numpy(), found.accuracy.numpy(), marker="o", markersize=4)
        upper.set(xlim=(0, 1), ylim=(0, 1), title=f"{title}: error {error:.3f}")
        lower.hist(confidence.numpy(), bins=10, range=(0, 1))
        lower.set(xlim=(0, 1), xlabel="confidence")
    axes[0, 0].set_ylabel("share that is right")
    axes[1, 0].set_ylabel("samples")
    figure.savefig(path, dpi=DPI)


def score_histogram(path: Path, scores: Mapping[str, Tensor], title: str) -> None:
    """Draw how a score is distributed in several sets, each as a density.

    Args:
        path: the PNG to write.
        scores: by set, ``(N,)``; the largest 1 % are drawn with the last bin.
        title: of the picture.
    """
    figure, axes = new_figure(size=4.0)
    ax = axes[0, 0]
    every = torch.cat(list(scores.values()))
    low, high = float(every.min()), float(every.quantile(0.99))
    for name, values in scores.items():
        ax.hist(
            values.clamp(max=high).numpy(),
            40,
            range=(low, high),
            density=True,
            alpha=0.6,
            label=name,
        )
    ax.set(title=title, xlabel="score", ylabel="density")
    ax.legend()
    figure.savefig(path, dpi=DPI)


def image_sheet(path: Path, images: Tensor, titles: Sequence[str], limit: int = 25) -> None:
    """Draw the first images in a grid, each with its title.

    Args:
        path: the PNG to write.
        images: ``(N, C, H, W)``; each is scaled to its own range of brightness.
        titles: one for each image; may be empty.
        limit: the most images of a sheet.
    """
    shown = images[:limit]
    columns = min(5, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = new_figure(rows, columns, size=1.8)
    for ax in axes.flat:
        ax.axis("off")
    for ax, image, title in zip(axes.flat, shown, titles, strict=False):
        low, high = image.min(), image.max()
        pixels = ((image - low) / (high - low).clamp_min(1e-12)).permute(1, 2, 0)
        ax.imshow((pixels if pixels.shape[-1] == 3 else pixels[..., 0]).numpy(), cmap="gray")
        ax.set_title(title, fontsize=9)
    figure.savefig(path, dpi=DPI)


def scatter_pair(path: Path, left: Tensor, right: Tensor, titles: tuple[str, str]) -> None:
    """Draw two sets of points ``(N, 2)`` side by side, both within the limits of the left one."""
    figure, axes = new_figure(1, 2, size=4.0)
    low, high = (left.min(0).values - 0.5).tolist(), (left.max(0).values + 0.5).tolist()
    for ax, points, title in zip(axes[0], (left, right), titles, strict=True):
        ax.scatter(points[:, 0].numpy(), points[:, 1].numpy(), s=2, alpha=0.5)
        ax.set(title=title, xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    figure.savefig(path, dpi=DPI)


def density_map(
    path: Path, log_density: Callable[[Tensor], Tensor], points: Tensor, steps: int = 200
) -> None:
    """Draw a density in the plane, with some points of the data on it.

    Args:
        path: the PNG to write.
        log_density: maps points ``(N, 2)`` to ``(N,)``.
        points: data ``(N, 2)``, which also gives the limits.
        steps: points of the grid along each axis.
    """
    low, high = (points.min(0).values - 0.5).tolist(), (points.max(0).values + 0.5).tolist()
    x, y = (torch.linspace(a, b, steps) for a, b in zip(low, high, strict=True))
    grid = torch.cartesian_prod(x, y)
    density = log_density(grid).exp().view(steps, steps).T
    figure, axes = new_figure(size=4.0)
    ax = axes[0, 0]
    ax.imshow(
        density.numpy(),
        origin="lower",
        extent=(low[0], high[0], low[1], high[1]),
        aspect="auto",
        cmap="Blues",
    )
    ax.scatter(
        points[:300, 0].numpy(),
        points[:300, 1].numpy(),
        s=3,
        color="C1",
        linewidths=0,
        label="validation rows",
    )
    ax.set(title=f"density: {float(log_density(points).mean()):.2f} nats a row")
    ax.legend(loc="lower left", fontsize=8, markerscale=2)
    figure.savefig(path, dpi=DPI)
