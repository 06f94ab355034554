"""Train a random pool of activations on small problems, and write one table a problem.

    python benchmarks/tables/make.py                    # the shipped tables: half an hour, one core
    python benchmarks/tables/make.py --pool-seed 7 --folder /tmp/held-out

Networks of one architecture are stacked along a leading dimension of members: their linear maps are
batched matrix products, and each activation acts on the slice of the members that have it. A table
has one line an activation, with the validation score of each seed: the accuracy of the network, or
the share of variance that it explains (R²). Larger is better, and ``nan`` is a training that
diverged.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_diabetes, load_digits
from torch import Tensor, nn

from actsearch.activations import activation
from actsearch.activations.expression.equivalence import distinct
from actsearch.activations.expression.generate import pool, random_expression

HERE = Path(__file__).parent
CHUNK = 64
"""Activations that are trained at the same time."""

COMMON = """
    relu leaky_relu elu selu celu gelu silu mish softplus tanh sigmoid softsign hardswish hardtanh
    relu6 squared_relu erf arctan arcsinh hardsigmoid tanhshrink softshrink identity square log1pabs
    logsigmoid gaussian abs sine cosine
"""


@dataclass(frozen=True)
class Data:
    """Inputs and targets of training and of validation."""

    x: Tensor
    y: Tensor
    x_validation: Tensor
    y_validation: Tensor


Act = Callable[[Tensor, int], Tensor]
"""Apply each member's activation to (members, batch, features) at the site of that index."""

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Problem:
    """A data set, a stacked network, and how it is trained and scored."""

    data: Callable[[], Data]
    shapes: dict[str, tuple[int, int]]  # linear maps by name: (in, out); every one has a bias
    forward: Callable[[Weights, Tensor, Act], Tensor]
    loss: Callable[[Tensor, Tensor], Tensor]  # to (members,)
    score: Callable[[Tensor, Tensor], Tensor]
    epochs: int
    batch: int
    learning_rate: float
    pool_seed: int
    seeds: int = (
        2  # as many as it takes for the seed to move a score by much less than the activation does
    )
    norms: dict[str, int] = field(default_factory=dict)  # normalised channels by name
    raw: bool = False  # whether the pool is not sifted: expressions as the grammar draws them


def linear(weights: Weights, name: str, x: Tensor) -> Tensor:
    """Apply every member's linear map to (members, rows, in)."""
    return torch.baddbmm(weights[f"{name}.bias"], x, weights[name])


def convolution(weights: Weights, name: str, x: Tensor, size: int) -> Tensor:
    """Apply every member's 3 x 3 convolution to (members, batch, channels, size, size).

    The result has the same layout.
    """
    members, batch, channels = x.shape[:3]
    patches = F.unfold(x.reshape(members * batch, channels, size, size), 3, padding=1)
    rows = patches.transpose(1, 2).reshape(members, batch * size * size, channels * 9)
    out = linear(weights, name, rows)
    return out.view(members, batch, size, size, -1).permute(0, 1, 4, 2, 3)


def halve(x: Tensor) -> Tensor:
    """Average over 2 x 2 pixels."""
    return F.avg_pool2d(x.flatten(0, 1), 2).view(*x.shape[:3], x.shape[3] // 2, x.shape[4] // 2)


def cnn(weights: Weights, x: Tensor, act: Act) -> Tensor:
    """Two convolutions, each followed by its activation and a pooling, and a linear map.

    They have 8 and 16 channels.
    """
    x = x.view(*x.shape[:2], 1, 8, 8)
    x = halve(act(convolution(weights, "conv1", x, 8), 0))
    x = halve(act(convolution(weights, "conv2", x, 4), 1))
    return linear(weights, "head", x.flatten(2))


def normalise(weights: Weights, name: str, x: Tensor) -> Tensor:
    """Normalise each member's channels as batch normalisation does in training.

    That is by the mean and variance of the batch.
    """
    mean, variance = x.mean((1, 3, 4), keepdim=True), x.var((1, 3, 4), keepdim=True, correction=0)
    scale, shift = (weights[f"{name}.{key}"][:, :, :, None, None] for key in ("scale", "shift"))
    return (x - mean) / (variance + 1e-5).sqrt() * scale + shift


def vgg(weights: Weights, x: Tensor, act: Act) -> Tensor:
    """Four convolutions with batch normalisation, a pooling after every second.

    They have 8, 8, 16 and 16 channels.
    """
    x, size = x.view(*x.shape[:2], 1, 8, 8), 8
    for site in range(4):
        x = act(
            normalise(weights, f"norm{site}", convolution(weights, f"conv{site}", x, size)), site
        )
        if site % 2:
            x, size = halve(x), size // 2
    return linear(weights, "head", x.flatten(2))


def mlp(weights: Weights, x: Tensor, act: Act) -> Tensor:
    """Two hidden layers."""
    x = act(linear(weights, "hidden1", x), 0)
    return linear(weights, "head", act(linear(weights, "hidden2", x), 1))


def autoencoder(weights: Weights, x: Tensor, act: Act) -> Tensor:
    """64-32-8-32-64, with an activation after each hidden layer."""
    code = act(linear(weights, "code", act(linear(weights, "encoder", x), 0)), 1)
    return linear(weights, "head", act(linear(weights, "decoder", code), 2))


def digits(labels: bool) -> Data:
    """Return 300 digits for training, the others for validation.

    The targets are the labels, or the images themselves.
    """
    raw, digit = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(raw))
    x = torch.tensor(raw[order] / 16, dtype=torch.float32)
    x = (x - x[:300].mean()) / x[:300].std()
    y = torch.tensor(digit[order]) if labels else x
    return Data(x[:300], y[:300], x[300:], y[300:])


def diabetes() -> Data:
    """Return the diabetes table, standardised, three fifths for training."""
    raw, target = load_diabetes(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(raw))
    x, y = (
        torch.tensor(raw[order], dtype=torch.float32),
        torch.tensor(target[order], dtype=torch.float32)[:, None],
    )
    x, y = ((t - t[:265].mean(0)) / t[:265].std(0) for t in (x, y))
    return Data(x[:265], y[:265], x[265:], y[265:])


def cross_entropy(out: Tensor, y: Tensor) -> Tensor:
    """Return each member's cross entropy."""
    return -out.log_softmax(-1).gather(-1, y[..., None]).mean((1, 2))


def squared_error(out: Tensor, y: Tensor) -> Tensor:
    """Return each member's mean squared error."""
    return (out - y).square().mean((1, 2))


def accuracy(out: Tensor, y: Tensor) -> Tensor:
    """Return each member's accuracy, NaN where an output is not finite."""
    right = (out.argmax(-1) == y).float().mean(1)
    return right.where(out.isfinite().all(2).all(1), torch.nan)


def explained(out: Tensor, y: Tensor) -> Tensor:
    """Return each member's R², NaN where it is not finite."""
    score = 1 - (out - y).square().sum((1, 2)) / (y - y.mean(1, keepdim=True)).square().sum((1, 2))
    return score.where(score.isfinite(), torch.nan)


PROBLEMS = {
    "digits_cnn": Problem(
        lambda: digits(labels=True),
        {"conv1": (9, 8), "conv2": (72, 16), "head": (64, 10)},
        cnn,
        cross_entropy,
        accuracy,
        epochs=15,
        batch=30,
        learning_rate=5e-3,
        pool_seed=1,
    ),
    "diabetes_mlp": Problem(
        diabetes,
        {"hidden1": (10, 64), "hidden2": (64, 64), "head": (64, 1)},
        mlp,
        squared_error,
        explained,
        epochs=60,
        batch=53,
        learning_rate=1e-3,
        pool_seed=2,
        seeds=6,
    ),
    "digits_autoencoder": Problem(
        lambda: digits(labels=False),
        {"encoder": (64, 32), "code": (32, 8), "decoder": (8, 32), "head": (32, 64)},
        autoencoder,
        squared_error,
        explained,
        epochs=30,
        batch=30,
        learning_rate=5e-3,
        pool_seed=3,
        seeds=4,
    ),
    "digits_vgg": Problem(
        lambda: digits(labels=True),
        {
            "conv0": (9, 8),
            "conv1": (72, 8),
            "conv2": (72, 16),
            "conv3": (144, 16),
            "head": (64, 10),
        },
        vgg,
        cross_entropy,
        accuracy,
        epochs=10,
        batch=30,
        learning_rate=5e-3,
        pool_seed=4,
        norms={"norm0": 8, "norm1": 8, "norm2": 16, "norm3": 16},
        raw=True,
    ),
}


def initial(problem: Problem, copies: int) -> Weights:
    """Return the weights of copies of each seed's network, as :class:`torch.nn.Linear` draws."""
    weights: dict[str, list[Tensor]] = {}
    for seed in range(problem.seeds):
        generator = torch.Generator().manual_seed(seed)
        for name, (inputs, outputs) in problem.shapes.items():
            for key, shape in ((name, (inputs, outputs)), (f"{name}.bias", (1, outputs))):
                uniform = torch.rand(shape, generator=generator) * 2 - 1
                weights.setdefault(key, []).append(uniform / inputs**0.5)
        for name, channels in problem.norms.items():
            weights.setdefault(f"{name}.scale", []).append(torch.ones(1, channels))
            weights.setdefault(f"{name}.shift", []).append(torch.zeros(1, channels))
    return {key: torch.stack(drawn * copies).requires_grad_() for key, drawn in weights.items()}


def train(problem: Problem, functions: Sequence[Callable[[Tensor], Tensor]]) -> Tensor:
    """Train every function with every seed; return the scores, (functions, seeds)."""
    data = problem.data()
    weights = initial(problem, len(functions))
    members, seeds = len(functions) * problem.seeds, problem.seeds

    def act(x: Tensor, site: int) -> Tensor:
        parts = x.split(seeds)
        return torch.cat([function(part) for function, part in zip(functions, parts, strict=True)])

    optimiser = torch.optim.Adam(weights.values(), lr=problem.learning_rate)
    orders = [torch.Generator().manual_seed(100 + seed) for seed in range(problem.seeds)]
    for _ in range(problem.epochs):
        order = torch.stack(
            [torch.randperm(len(data.x), generator=generator) for generator in orders]
        )
        for rows in order.split(problem.batch, dim=1):
            x = data.x[rows].repeat(len(functions), 1, 1)
            y = data.y[rows].repeat(len(functions), *[1] * data.y.ndim)
            optimiser.zero_grad()
            # A sum over members: each member's gradient is its own, and what is not finite stays
            # with it.
            problem.loss(problem.forward(weights, x, act), y).sum().backward()
            optimiser.step()
    with torch.no_grad():
        x = data.x_validation.expand(members, *data.x_validation.shape)
        y = data.y_validation.expand(members, *data.y_validation.shape)
        return problem.score(problem.forward(weights, x, act), y).view(len(functions), seeds)


def plain(name: str) -> Callable[[Tensor], Tensor]:
    """Return an activation that learns nothing."""
    module: nn.Module = activation(name, learn=())
    return module


def raw_pool(count: int, depth: int, seed: int) -> list[str]:
    """Return expressions as the grammar draws them, most of which cannot be trained.

    A gate is judged by them.
    """
    rng = Random(seed)
    return list(dict.fromkeys(random_expression(rng, depth) for _ in range(count)))


def scores(problem: Problem, names: Sequence[str]) -> Tensor:
    """Return the scores of activations, (activations, seeds)."""
    parts = [names[start : start + CHUNK] for start in range(0, len(names), CHUNK)]
    return torch.cat([train(problem, [plain(name) for name in part]) for part in parts])


def main() -> None:
    """Make the tables that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--problem", choices=PROBLEMS, action="append", help="default: all")
    parser.add_argument(
        "--count", type=int, default=1200, help="random expressions, beside the common activations"
    )
    parser.add_argument(
        "--pool-seed", type=int, help="another random pool than the shipped tables have"
    )
    parser.add_argument("--folder", type=Path, default=HERE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in options.problem or PROBLEMS:
        start = time.perf_counter()
        problem = PROBLEMS[name]
        seed = problem.pool_seed if options.pool_seed is None else options.pool_seed
        names = distinct(
            [*COMMON.split(), *(raw_pool if problem.raw else pool)(options.count, 3, seed)]
        )
        rows = scores(problem, names)
        with (options.folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["activation", *(f"seed_{seed}" for seed in range(problem.seeds))])
            writer.writerows(
                [key, *(f"{v:.5g}" for v in row)]
                for key, row in zip(names, rows.tolist(), strict=True)
            )
        mean = rows.mean(1)
        print(
            f"{name}: {len(names)} activations in {time.perf_counter() - start:.0f} s; best"
            f" {mean.nan_to_num(-9).max():.4f}, median {mean.nan_to_num(-9).median():.4f}, diverged"
            f" {int(mean.isnan().sum())}"
        )


if __name__ == "__main__":
    main()
