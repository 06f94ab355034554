"""Tables of six further problems, which the metric of ``function_space`` is learned from: another half hour on one core.

python benchmarks/tables/others.py --folder /tmp/others
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
from sklearn.datasets import make_friedman1
from torch import Tensor


def split(x: np.ndarray, y: np.ndarray, count: int, labels: bool = False) -> Data:
    """Standardise by the first ``count`` rows, which are for training."""
    inputs = torch.tensor(x, dtype=torch.float32)
    inputs = (inputs - inputs[:count].mean(0)) / inputs[:count].std(0)
    targets = torch.tensor(y) if labels else torch.tensor(y, dtype=torch.float32)[:, None]
    if not labels:
        targets = (targets - targets[:count].mean(0)) / targets[:count].std(0)
    return Data(inputs[:count], targets[:count], inputs[count:], targets[count:])


def friedman() -> Data:
    """Return Friedman's first regression problem."""
    return split(*make_friedman1(700, n_features=8, noise=0.5, random_state=0), 250)


def sines() -> Data:
    """Return a wavy function of two numbers."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (600, 2))
    y = np.sin(4 * x[:, 0]) + np.sin(6 * x[:, 1] + 1) * x[:, 0]
    order = np.random.default_rng(0).permutation(600)
    return split(x[order], y[order], 200)


def teacher() -> Data:
    """Return the outputs of a network with ten tanh units."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((900, 12))
    weights = rng.standard_normal((12, 10)) / 12**0.5
    y = np.tanh(2 * x @ weights) @ rng.standard_normal(10) + 0.1 * rng.standard_normal(900)
    order = np.random.default_rng(0).permutation(900)
    return split(x[order], y[order], 300)


def clusters() -> Data:
    """Return twelve overlapping clusters in four classes."""
    rng = np.random.default_rng(2)
    centres, cluster = rng.standard_normal((12, 10)), rng.integers(0, 12, 1100)
    x = centres[cluster] + rng.standard_normal((1100, 10))
    order = np.random.default_rng(0).permutation(1100)
    return split(x[order], cluster[order] % 4, 300, labels=True)


def layers(count: int, norm: bool = False) -> Callable[[Weights, Tensor, Act], Tensor]:
    """Return a perceptron with that many hidden layers, normalised over the batch or not."""

    def forward(weights: Weights, x: Tensor, act: Act) -> Tensor:
        for i in range(count):
            x = linear(weights, f"l{i}", x)
            if norm:
                x = (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, correction=0) + 1e-5).sqrt()
            x = act(x, i)
        return linear(weights, "head", x)

    return forward


def shapes(*widths: int) -> dict[str, tuple[int, int]]:
    """Return the linear maps between layers of those widths."""
    names = [*(f"l{i}" for i in range(len(widths) - 2)), "head"]
    return {name: (a, b) for name, a, b in zip(names, widths, widths[1:], strict=False)}


def digits() -> Data:
    """Return the labelled digits."""
    return make.digits(labels=True)


R2, LABELS = (make.squared_error, make.explained), (make.cross_entropy, make.accuracy)
PROBLEMS = {
    "fried": Problem(friedman, shapes(8, 48, 48, 1), layers(2), *R2, 40, 50, 3e-3, 11),
    "deep": Problem(digits, shapes(64, 32, 32, 32, 32, 10), layers(4), *LABELS, 12, 30, 3e-3, 12),
    "bn": Problem(digits, shapes(64, 48, 48, 10), layers(2, norm=True), *LABELS, 10, 30, 5e-3, 13),
    "sines": Problem(sines, shapes(2, 32, 32, 32, 1), layers(3), *R2, 40, 40, 5e-3, 21),
    "teacher": Problem(teacher, shapes(12, 64, 1), layers(1), *R2, 30, 50, 5e-3, 22),
    "noisy": Problem(clusters, shapes(10, 48, 48, 4), layers(2), *LABELS, 15, 30, 3e-3, 23),
}


def main() -> None:
    """Make the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1200, help="random expressions, beside the common activations")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, problem in PROBLEMS.items():
        scores = make.make(problem, options.count, problem.pool_seed)
        with (options.folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["activation", "seed_0", "seed_1"])
            writer.writerows([key, *(f"{value:.5g}" for value in row.tolist())] for key, row in scores.items())
        print(f"{name}: {len(scores)} activations", flush=True)


if __name__ == "__main__":
    main()
