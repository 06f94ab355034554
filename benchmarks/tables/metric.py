"""Learn how much each descriptor of a function counts: the metric of ``function_space``.

    python benchmarks/tables/metric.py                      # half a minute; writes metric.toml

Maximises the marginal likelihood of subsets of every problem of the experience that
``FunctionSpaceSampler`` begins with, a quarter of each from the problem's best quarter, with one
metric for all. None of the shipped tables is among them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from actsearch.search.samplers.function_space.features import compute
from actsearch.search.samplers.function_space.metric import METRIC, METRIC_FILE
from actsearch.search.samplers.function_space.observations import normal_scores
from actsearch.search.samplers.function_space.settings import DEFAULTS
from actsearch.search.samplers.function_space.transfer import shipped_scores

SIZE, STEPS = 80, 250
HEAD = """\
# How much each property of a function counts: maximises the marginal likelihood of the trainings in
# experience.csv, none of which is of a problem of benchmarks/tables. Made by
# `python benchmarks/tables/metric.py` at commit f8b269b; the same digits at d7f9779.

# Functions are compared at that many quantiles of N(0, s²), for each of these s.
points = {points}
scales = {scales}

# Variance of the noise of a training, of normal scores.
noise = {noise}

# Length scale of each view of a function; that of the descriptors is 1, their weights tell it.
[lengths]
{lengths}

# Variance of each view.
[variances]
{variances}

# Weight of each descriptor, at each scale.
[weights]
{weights}

# Weight of the size of the value and of the slope at 0.
[at_zero]
{at_zero}
"""


def matern(x: Tensor) -> Tensor:
    """Return the Matérn-5/2 covariance of the rows of (tables, rows, columns)."""
    squares = (x * x).sum(-1)
    distance = (squares[:, :, None] + squares[:, None] - 2 * x @ x.mT).clamp_min(0)
    r = (5 * distance + 1e-12).sqrt()
    return (1 + r + r * r / 3) * torch.exp(-r)


def views(activations: Sequence[str]) -> list[Tensor]:
    """Return the views of one site; the last with every weight 1."""
    found = compute(activations)
    flat = [w for ws in METRIC.weights.values() for w in ws]
    weights = np.array([*flat, *METRIC.at_zero.values(), DEFAULTS.broken_weight])
    return [
        torch.from_numpy(v)
        for v in (found.values, found.slopes, found.oriented, found.descriptors / weights)
    ]


def subset(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return rows as a search has them: more good ones than there are."""
    order = np.argsort(-scores)
    quarter, good = len(order) // 4, SIZE // 4
    return np.concatenate(
        [
            rng.choice(order[:quarter], good, replace=False),
            rng.choice(order[quarter:], SIZE - good, replace=False),
        ]
    )


def main() -> None:
    """Learn, and write the metric."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--file", type=Path, default=METRIC_FILE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    activations, problems, scores = shipped_scores()
    every = views(activations)
    weight = torch.full((every[3].shape[1],), -2.0, dtype=torch.float64, requires_grad=True)
    length = torch.tensor([15.0, 6.0, 15.0], dtype=torch.float64).log().requires_grad_()
    variance = torch.tensor([0.3, 0.2, 0.2, 0.9], dtype=torch.float64).log().requires_grad_()
    noise = torch.tensor(0.07, dtype=torch.float64).log().requires_grad_()
    optimiser = torch.optim.Adam([weight, length, variance, noise], lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    for _ in range(STEPS):
        rows = np.stack([subset(column, rng) for column in scores.T])
        y = torch.from_numpy(
            np.stack([normal_scores(column[r]) for column, r in zip(scores.T, rows, strict=True)])
        )
        parts = [view[rows] for view in every]
        scaled = [part * torch.exp(-s) for part, s in zip(parts[:3], length, strict=True)]
        scaled.append(parts[3] * weight.exp())
        covariance = torch.eye(SIZE, dtype=torch.float64) * (noise.exp() + 1e-5)
        covariance = covariance + sum(
            v.exp() * matern(x) for v, x in zip(variance, scaled, strict=True)
        )
        factor = torch.linalg.cholesky(covariance)
        explained = torch.linalg.solve_triangular(factor, y[:, :, None], upper=False)
        loss = (explained.square().sum() / 2 + factor.diagonal(dim1=1, dim2=2).log().sum()) / len(
            problems
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    found = weight.exp().tolist()
    scales = len(METRIC.scales)
    rows = {name: found[scales * i :][:scales] for i, name in enumerate(METRIC.weights)}
    weights = [f'"{n}" = [{", ".join(f"{w:.2f}" for w in row)}]' for n, row in rows.items()]
    at_zero = [f"{n} = {w:.2f}" for n, w in zip(METRIC.at_zero, found[-3:-1], strict=True)]
    text = HEAD.format(
        points=METRIC.points,
        scales=list(METRIC.scales),
        noise=f"{float(noise.exp().detach()):.2g}",
        lengths="\n".join(named(METRIC.lengths, [*length.exp().tolist(), 1.0], 3)),
        variances="\n".join(named(METRIC.variances, variance.exp().tolist(), 2)),
        weights="\n".join(weights),
        at_zero="\n".join(at_zero),
    )
    options.file.write_text(text, encoding="utf-8")


def named(names: Iterable[str], values: Sequence[float], digits: int) -> list[str]:
    """Return lines of TOML; a number has a point."""
    rounded = [float(f"{value:.{digits}g}") for value in values]
    return [f"{name} = {value}" for name, value in zip(names, rounded, strict=True)]


if __name__ == "__main__":
    main()
