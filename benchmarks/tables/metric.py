"""Learn how much each descriptor of a function counts: the constants of ``function_space`` for one site.

    python benchmarks/tables/metric.py benchmarks/tables /tmp/others     # folders of tables; a minute

Maximises the marginal likelihood of subsets of every table, a quarter of each from the table's best quarter, with one
metric for all. The shipped constants come from the three shipped problems (two pools each) and the six of ``others.py``;
what a search gains by them is measured with the problem that is searched left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from actsearch.search.bench import Table
from actsearch.search.function_space import features
from actsearch.search.function_space.history import normal_scores

SIZE, STEPS = 80, 250


def matern(x: Tensor) -> Tensor:
    """Return the Matérn-5/2 covariance of the rows of (tables, rows, columns)."""
    squares = (x * x).sum(-1)
    distance = (squares[:, :, None] + squares[:, None] - 2 * x @ x.mT).clamp_min(0)
    r = (5 * distance + 1e-12).sqrt()
    return (1 + r + r * r / 3) * torch.exp(-r)


def views(table: Table) -> list[Tensor]:
    """Return the views of one site; the last with every weight 1."""
    found = features.compute(table.activations)
    flat = [w for ws in features.METRIC.values() for w in ws]
    weights = np.array([*flat, *features.AT_ZERO, features.BROKEN])
    return [torch.from_numpy(v) for v in (found.values, found.slopes, found.oriented, found.weighted / weights)]


def subset(table: Table, rng: np.random.Generator) -> np.ndarray:
    """Return rows as a search has them: more good ones than there are."""
    order = np.argsort(-table.scores)
    quarter, good = len(order) // 4, SIZE // 4
    return np.concatenate(
        [rng.choice(order[:quarter], good, replace=False), rng.choice(order[quarter:], SIZE - good, replace=False)]
    )


def main() -> None:
    """Learn, and print the constants."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--without", nargs="*", default=[], help="tables that are left out, by name")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    tables = [Table.read(path) for folder in options.folders for path in sorted(folder.glob("*.csv"))]
    tables = [table for table in tables if table.name not in options.without]
    share = torch.tensor([1 / sum(other.name == t.name for other in tables) for t in tables], dtype=torch.float64)
    every = [views(table) for table in tables]
    weight = torch.full((every[0][3].shape[1],), -2.0, dtype=torch.float64, requires_grad=True)
    length = torch.tensor([15.0, 6.0, 15.0], dtype=torch.float64).log().requires_grad_()
    variance = torch.tensor([0.3, 0.2, 0.2, 0.9], dtype=torch.float64).log().requires_grad_()
    noise = torch.tensor(0.07, dtype=torch.float64).log().requires_grad_()
    optimiser = torch.optim.Adam([weight, length, variance, noise], lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    for _ in range(STEPS):
        rows = [subset(table, rng) for table in tables]
        y = torch.stack([torch.from_numpy(normal_scores(t.scores[r])) for t, r in zip(tables, rows, strict=True)])
        parts = [torch.stack([v[i][r] for v, r in zip(every, rows, strict=True)]) for i in range(4)]
        scaled = [part * torch.exp(-s) for part, s in zip(parts[:3], length, strict=True)]
        scaled.append(parts[3] * weight.exp())
        covariance = torch.eye(SIZE, dtype=torch.float64) * (noise.exp() + 1e-5)
        covariance = covariance + sum(v.exp() * matern(x) for v, x in zip(variance, scaled, strict=True))
        factor = torch.linalg.cholesky(covariance)
        explained = torch.linalg.solve_triangular(factor, y[:, :, None], upper=False)
        loss = (explained.square().sum((1, 2)) / 2 + factor.diagonal(dim1=1, dim2=2).log().sum(1)) @ share
        optimiser.zero_grad()
        (loss / share.sum()).backward()
        optimiser.step()
        schedule.step()
    found = weight.exp().tolist()
    for i, name in enumerate(features.METRIC):
        print(f"{name}:", ", ".join(f"{w:.2f}" for w in found[3 * i : 3 * i + 3]))
    print("at zero:", *(f"{w:.2f}" for w in found[-3:-1]))
    print("lengths:", *(f"{w:.3g}" for w in length.exp()), "variances:", *(f"{w:.2g}" for w in variance.exp()))
    print(f"noise: {float(noise.exp().detach()):.2g}")


if __name__ == "__main__":
    main()
