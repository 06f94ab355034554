"""Train the same activations on 28 small problems: what ``FunctionSpaceSampler`` begins with.

    python benchmarks/tables/experience.py                  # an hour on one core

None is a problem of the shipped tables, so that these can judge what the transfer is worth.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path

import make
import numpy as np
import torch
from make import Act, Data, Problem, Weights, linear
from sklearn.datasets import (
    load_breast_cancer,
    load_sample_images,
    load_wine,
    make_friedman1,
    make_friedman2,
    make_friedman3,
)
from torch import Tensor

from actsearch.activations.expression.equivalence import distinct
from actsearch.activations.expression.generate import pool
from actsearch.search.samplers.function_space.transfer import SHIPPED_FILE

POOL_SEED = 99


def split(x: np.ndarray, y: np.ndarray | None, count: int, labels: bool = False) -> Data:
    """Shuffle, and standardise by the first ``count`` rows, which are for training.

    Without targets, these are the inputs.
    """
    order = np.random.default_rng(0).permutation(len(x))
    inputs = torch.tensor(x[order], dtype=torch.float32)
    inputs = (inputs - inputs[:count].mean(0)) / inputs[:count].std(0).clamp_min(1e-6)
    if y is None:
        return Data(inputs[:count], inputs[:count], inputs[count:], inputs[count:])
    targets = (
        torch.tensor(y[order]) if labels else torch.tensor(y[order], dtype=torch.float32)[:, None]
    )
    if not labels:
        targets = (targets - targets[:count].mean(0)) / targets[:count].std(0)
    return Data(inputs[:count], targets[:count], inputs[count:], targets[count:])


def friedman(number: int) -> Callable[[], Data]:
    """Return one of Friedman's three regression problems, with noise."""

    def data() -> Data:
        if number == 1:
            return split(*make_friedman1(700, n_features=8, noise=0.5, random_state=0), 250)
        x, y = (make_friedman2 if number == 2 else make_friedman3)(700, random_state=0)
        return split(x, y + 0.1 * y.std() * np.random.default_rng(0).standard_normal(700), 250)

    return data


def sines() -> Data:
    """Return a wavy function of two numbers."""
    x = np.random.default_rng(0).uniform(-1, 1, (600, 2))
    return split(x, np.sin(4 * x[:, 0]) + np.sin(6 * x[:, 1] + 1) * x[:, 0], 200)


def teacher() -> Data:
    """Return the outputs of a network with ten tanh units."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((900, 12))
    weights = rng.standard_normal((12, 10)) / 12**0.5
    return split(
        x, np.tanh(2 * x @ weights) @ rng.standard_normal(10) + 0.1 * rng.standard_normal(900), 300
    )


def clusters() -> Data:
    """Return twelve overlapping clusters in four classes."""
    rng = np.random.default_rng(2)
    centres, cluster = rng.standard_normal((12, 10)), rng.integers(0, 12, 1100)
    return split(centres[cluster] + rng.standard_normal((1100, 10)), cluster % 4, 300, labels=True)


def spirals() -> Data:
    """Return two spirals with noise."""
    rng = np.random.default_rng(3)
    label, angle = rng.integers(0, 2, 1200), 4 + 7 * np.sqrt(rng.random(1200))
    x = np.stack([np.cos(angle + np.pi * label), np.sin(angle + np.pi * label)], 1) * angle[:, None]
    return split(x + 0.4 * rng.standard_normal(x.shape), label, 400, labels=True)


def radius() -> Data:
    """Return a bump of the distance from the centre, in six dimensions."""
    x = np.random.default_rng(4).standard_normal((1000, 6))
    return split(x, np.sin(2 * np.linalg.norm(x, axis=1)), 400)


def chaos() -> Data:
    """Return the logistic map three steps ahead, from two noisy states."""
    rng, states = np.random.default_rng(5), [0.3]
    for _ in range(1000):
        states.append(3.9 * states[-1] * (1 - states[-1]))
    s = np.array(states)
    x = np.stack([s[:-4], s[1:-3]], 1) + 0.005 * rng.standard_normal((len(s) - 4, 2))
    return split(x, s[4:], 300)


def parity() -> Data:
    """Return the sign of a product of three coordinates among eight."""
    x = np.random.default_rng(6).standard_normal((1500, 8))
    return split(x, (x[:, :3].prod(1) > 0).astype(int), 700, labels=True)


def cancer(target: bool) -> Callable[[], Data]:
    """Return the breast cancer table: the worst concavity from ten columns, or the inputs alone."""

    def data() -> Data:
        x = load_breast_cancer(return_X_y=True)[0]
        return (
            split(x[:, :10], np.log1p(x[:, 26]), 300) if target else split(np.log1p(x), None, 300)
        )

    return data


def wine(column: int) -> Callable[[], Data]:
    """Return the wine table: the logarithm of a column from the others."""

    def data() -> Data:
        x = load_wine(return_X_y=True)[0]
        return split(np.delete(x, column, 1), np.log(x[:, column]), 100)

    return data


def weak() -> Data:
    """Return ten numbers that tell less than half of the target, and that nearly linearly."""
    rng = np.random.default_rng(10)
    x = rng.standard_normal((900, 10)) @ (np.eye(10) + 0.3 * rng.standard_normal((10, 10)))
    signal = (
        x @ rng.standard_normal(10) / 4 + 0.3 * np.maximum(x[:, 0], 0) + 0.2 * x[:, 1] * x[:, 2]
    )
    return split(x, signal + 1.1 * signal.std() * rng.standard_normal(900), 260)


def board() -> Data:
    """Return a chequered board."""
    x = np.random.default_rng(11).uniform(0, 4, (1500, 2))
    return split(x, x.astype(int).sum(1) % 2, 600, labels=True)


def patches(target: str) -> Callable[[], Data]:
    """Return 8 x 8 patches of two photographs.

    The target is which one it is, which way its brightness rises, or the patches themselves.
    """

    def data() -> Data:
        rng = np.random.default_rng(7)
        images = [image.mean(2) / 255 for image in load_sample_images().images]
        label = rng.integers(0, 2, 1500)
        corners = [
            (rng.integers(0, images[i].shape[0] - 8), rng.integers(0, images[i].shape[1] - 8))
            for i in label
        ]
        cut = np.stack(
            [images[i][r : r + 8, c : c + 8] for i, (r, c) in zip(label, corners, strict=True)]
        )
        flat = cut.reshape(len(cut), 64)
        if target == "photograph":
            return split(flat, label, 600, labels=True)
        if target == "patch":
            return split(flat, None, 400)
        down, right = (np.diff(cut, axis=axis).mean((1, 2)) for axis in (1, 2))
        way = (down > 0).astype(int) + 2 * (right > 0).astype(int)
        noisy = cut - cut.mean((1, 2), keepdims=True)
        noisy = noisy + 0.3 * noisy.std() * rng.standard_normal(cut.shape)
        return split(noisy.reshape(len(cut), 64), way, 400, labels=True)

    return data


def shapes(labels: bool) -> Callable[[], Data]:
    """Return noisy images of a cross, a ring, a bar and a diagonal, anywhere in the image.

    Or the images to be compressed.
    """

    def data() -> Data:
        rng = np.random.default_rng(8)
        label, x = (
            rng.integers(0, 4, 1200),
            (0.35 if labels else 0.05) * rng.standard_normal((1200, 8, 8)),
        )
        forms = np.zeros((4, 5, 5))
        forms[0, 2], forms[0, :, 2] = 1, 1
        forms[1, [0, -1]], forms[1, :, [0, -1]] = 1, 1
        forms[2, 2] = 1
        forms[3] = np.eye(5)
        for i, form in enumerate(label):
            row, column = rng.integers(0, 4, 2)
            x[i, row : row + 5, column : column + 5] += forms[form]
        return split(x.reshape(len(x), 64), label if labels else None, 400, labels=labels)

    return data


def blobs(labels: bool) -> Callable[[], Data]:
    """Return images of one to four soft blobs, to be counted; or the images to be compressed."""

    def data() -> Data:
        rng, at = np.random.default_rng(12), np.arange(8)
        label, x = rng.integers(0, 4, 1200), 0.1 * rng.standard_normal((1200, 8, 8))
        for i, count in enumerate(label):
            for _ in range(count + 1):
                row, column, width = *rng.uniform(0, 7, 2), rng.uniform(0.6, 1.2)
                x[i] += np.exp(
                    -((at[:, None] - row) ** 2 + (at[None] - column) ** 2) / (2 * width**2)
                )
        return split(x.reshape(len(x), 64), label if labels else None, 400, labels=labels)

    return data


def gratings() -> Data:
    """Return noisy sine gratings of one of five directions."""
    rng, at = np.random.default_rng(13), np.arange(8)
    label, phase = rng.integers(0, 5, 1200), rng.uniform(0, 2 * np.pi, (1200, 1, 1))
    angle, frequency = np.pi * label[:, None, None] / 5, rng.uniform(0.8, 1.6, (1200, 1, 1))
    x = np.sin(
        frequency * (np.cos(angle) * at[None, :, None] + np.sin(angle) * at[None, None]) + phase
    )
    return split(
        (x + 0.7 * rng.standard_normal(x.shape)).reshape(len(x), 64), label, 400, labels=True
    )


def waves() -> Data:
    """Return sums of two sines with random frequencies and phases, to be compressed."""
    rng, time = np.random.default_rng(9), np.linspace(0, 1, 48)
    frequency, phase = rng.uniform(1, 5, (1000, 2, 1)), rng.uniform(0, 2 * np.pi, (1000, 2, 1))
    return split(np.sin(2 * np.pi * frequency * time + phase).sum(1), None, 400)


def digits() -> Data:
    """Return the labelled digits."""
    return make.digits(labels=True)


def layers(
    count: int, norm: bool = False, residual: bool = False
) -> Callable[[Weights, Tensor, Act], Tensor]:
    """Return a perceptron with that many hidden layers.

    Layers are normalised over the batch or not, the inner ones residual or not.
    """

    def forward(weights: Weights, x: Tensor, act: Act) -> Tensor:
        for i in range(count):
            h = linear(weights, f"l{i}", x)
            if norm:
                h = (h - h.mean(1, keepdim=True)) / (
                    h.var(1, keepdim=True, correction=0) + 1e-5
                ).sqrt()
            h = act(h, i)
            x = x + h if residual and i else h
        return linear(weights, "head", x)

    return forward


def widths(*sizes: int) -> dict[str, tuple[int, int]]:
    """Return the linear maps between layers of those sizes."""
    names = [*(f"l{i}" for i in range(len(sizes) - 2)), "head"]
    return {name: (a, b) for name, a, b in zip(names, sizes, sizes[1:], strict=False)}


def cnn(first: int, second: int, classes: int) -> dict[str, tuple[int, int]]:
    """Return the linear maps of :func:`make.cnn`."""
    return {"conv1": (9, first), "conv2": (9 * first, second), "head": (4 * second, classes)}


R2, LABELS = (make.squared_error, make.explained), (make.cross_entropy, make.accuracy)
VGG = {"conv0": (9, 6), "conv1": (54, 6), "conv2": (54, 12), "conv3": (108, 12), "head": (48, 4)}
NORMS = {"norm0": 6, "norm1": 6, "norm2": 12, "norm3": 12}
# data, linear maps, network, loss, score, epochs, rows of a batch, learning rate
PROBLEMS = {
    "friedman1": Problem(
        friedman(1), widths(8, 48, 48, 1), layers(2), *R2, 40, 50, 3e-3, POOL_SEED
    ),
    "friedman2": Problem(friedman(2), widths(4, 64, 1), layers(1), *R2, 40, 50, 1e-2, POOL_SEED),
    "friedman3": Problem(
        friedman(3), widths(4, 32, 32, 1), layers(2), *R2, 60, 50, 3e-3, POOL_SEED
    ),
    "sines": Problem(sines, widths(2, 32, 32, 32, 1), layers(3), *R2, 40, 40, 5e-3, POOL_SEED),
    "teacher": Problem(teacher, widths(12, 64, 1), layers(1), *R2, 30, 50, 5e-3, POOL_SEED),
    "radius": Problem(radius, widths(6, 64, 64, 1), layers(2), *R2, 40, 50, 3e-3, POOL_SEED),
    "chaos": Problem(chaos, widths(2, 32, 32, 32, 1), layers(3), *R2, 60, 50, 3e-3, POOL_SEED),
    "residual": Problem(
        friedman(1),
        widths(8, 32, 32, 32, 32, 1),
        layers(4, residual=True),
        *R2,
        30,
        50,
        2e-3,
        POOL_SEED,
    ),
    "cancer_column": Problem(
        cancer(target=True), widths(10, 48, 48, 1), layers(2), *R2, 50, 50, 1e-3, POOL_SEED
    ),
    "wine": Problem(
        wine(12), widths(12, 32, 32, 1), layers(2), *R2, 60, 25, 2e-3, POOL_SEED, seeds=4
    ),
    "wine_colour": Problem(
        wine(9), widths(12, 48, 1), layers(1), *R2, 60, 25, 3e-3, POOL_SEED, seeds=4
    ),
    "weak": Problem(weak, widths(10, 48, 48, 1), layers(2), *R2, 40, 50, 2e-3, POOL_SEED, seeds=4),
    "deep": Problem(
        digits, widths(64, 32, 32, 32, 32, 10), layers(4), *LABELS, 12, 30, 3e-3, POOL_SEED
    ),
    "normalised": Problem(
        digits, widths(64, 48, 48, 10), layers(2, norm=True), *LABELS, 10, 30, 5e-3, POOL_SEED
    ),
    "clusters": Problem(
        clusters, widths(10, 48, 48, 4), layers(2), *LABELS, 15, 30, 3e-3, POOL_SEED
    ),
    "spirals": Problem(
        spirals, widths(2, 32, 32, 32, 2), layers(3), *LABELS, 40, 50, 5e-3, POOL_SEED
    ),
    "parity": Problem(parity, widths(8, 64, 64, 2), layers(2), *LABELS, 30, 50, 3e-3, POOL_SEED),
    "board": Problem(board, widths(2, 48, 48, 2), layers(2), *LABELS, 60, 50, 5e-3, POOL_SEED),
    "photograph": Problem(
        patches("photograph"), cnn(6, 12, 2), make.cnn, *LABELS, 12, 50, 5e-3, POOL_SEED
    ),
    "shapes": Problem(
        shapes(labels=True), cnn(8, 8, 4), make.cnn, *LABELS, 15, 40, 5e-3, POOL_SEED
    ),
    "gratings": Problem(gratings, cnn(6, 12, 5), make.cnn, *LABELS, 12, 40, 5e-3, POOL_SEED),
    "blobs": Problem(blobs(labels=True), cnn(8, 12, 4), make.cnn, *LABELS, 12, 40, 5e-3, POOL_SEED),
    "brightness": Problem(
        patches("way"), VGG, make.vgg, *LABELS, 6, 50, 5e-3, POOL_SEED, norms=NORMS
    ),
    "patch": Problem(
        patches("patch"), widths(64, 48, 10, 48, 64), layers(3), *R2, 25, 40, 3e-3, POOL_SEED
    ),
    "shape": Problem(
        shapes(labels=False), widths(64, 40, 10, 40, 64), layers(3), *R2, 30, 40, 5e-3, POOL_SEED
    ),
    "blob": Problem(
        blobs(labels=False), widths(64, 32, 8, 32, 64), layers(3), *R2, 25, 40, 5e-3, POOL_SEED
    ),
    "waves": Problem(waves, widths(48, 32, 6, 32, 48), layers(3), *R2, 40, 40, 5e-3, POOL_SEED),
    "cancer": Problem(
        cancer(target=False), widths(30, 20, 5, 20, 30), layers(3), *R2, 40, 30, 5e-3, POOL_SEED
    ),
}


def main() -> None:
    """Train, and write the package's experience."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--count", type=int, default=800, help="random expressions, beside the common activations"
    )
    parser.add_argument("--file", type=Path, default=SHIPPED_FILE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    names = distinct([*make.COMMON.split(), *pool(options.count, 3, POOL_SEED)])
    columns = {}
    for name, problem in PROBLEMS.items():
        columns[name] = make.scores(problem, names).mean(1)
        print(f"{name}: best {columns[name].nan_to_num(-9).max():.4f}", flush=True)
    with options.file.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["activation", *columns])
        writer.writerows(
            [name, *(f"{c[i]:.4g}" for c in columns.values())] for i, name in enumerate(names)
        )


if __name__ == "__main__":
    main()
