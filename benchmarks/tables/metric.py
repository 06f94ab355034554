"""Learn how much each descriptor of a function counts: the constants of ``function_space`` for one site.

    python benchmarks/tables/metric.py                      # half a minute

Maximises the marginal likelihood of subsets of every problem of the experience that
``FunctionSpaceSampler`` begins with, a quarter of each from the problem's best quarter, with one
metric for all. None of the shipped tables is among them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from actsearch.search.samplers.function_space import features
from actsearch.search.samplers.function_space.observations import normal_scores
from actsearch.search.samplers.function_space.transfer import load

SIZE, STEPS = 80, 250


def matern(x: Tensor) -> Tensor:
    """Return the Matérn-5/2 covariance of the rows of (tables, rows, columns)."""
    squares = (x * x).sum(-1)
    distance = (squares[:, :, None] + squares[:, None] - 2 * x @ x.mT).clamp_min(0)
    r = (5 * distance + 1e-12).sqrt()
    return (1 + r + r * r / 3) * torch.exp(-r)


def views(activations: Sequence[str]) -> list[Tensor]:
    """Return the views of one site; the last with every weight 1."""
    found = features.compute(activations)
    flat = [w for ws in features.METRIC.values() for w in ws]
    weights = np.array([*flat, *features.AT_ZERO, features.BROKEN])
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
    """Learn, and print the constants."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    activations, problems, scores = load()
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
    for i, name in enumerate(features.METRIC):
        print(f"{name}:", ", ".join(f"{w:.2f}" for w in found[3 * i : 3 * i + 3]))
    print("at zero:", *(f"{w:.2f}" for w in found[-3:-1]))
    print(
        "lengths:",
        *(f"{w:.3g}" for w in length.exp()),
        "variances:",
        *(f"{w:.2g}" for w in variance.exp()),
    )
    print(f"noise: {float(noise.exp().detach()):.2g}")


if __name__ == "__main__":
    main()
